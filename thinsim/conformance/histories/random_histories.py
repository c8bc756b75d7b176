"""`random_history` makes a history from a seed; the same seed makes the same history anywhere.

The generator roughly tracks the thin devices, so that most operations find their device; some fail on
purpose. A pool that holds writes when it is full gets more space than a history can fill.
"""

import random
from dataclasses import dataclass, field
from itertools import combinations

from thinsim.conformance.histories.history import (
    BlockRequest,
    Discard,
    Dmsetup,
    Flush,
    Grow,
    History,
    HistoryOperation,
    Look,
    Read,
    Write,
)
from thinsim.conformance.requests.kinds import KINDS

THIN_SECTORS = 16384
_THIN_BYTES = THIN_SECTORS * 512
_LARGEST_WRITE = 1 << 20
_LARGEST_DISCARD = 4 << 20
_IDS = range(1, 24)
_LOOK_EVERY = 12
_REQUEST_WEIGHT = 24
_ZEROING = tuple(name for name, kind in KINDS.items() if kind.zeroes)

FEATURES = ("skip_block_zeroing", "ignore_discard", "no_discard_passdown", "error_if_no_space")
COMBINATIONS = tuple(words for count in range(len(FEATURES) + 1) for words in combinations(FEATURES, count))
"""Every set of feature words for a new pool."""

_BLOCKS = (128, 128, 128, 256, 384, 640, 1024)
_BAD_MESSAGES = (
    "create_thin",
    "create_thin 16777216",
    "create_thin x",
    "create_thin -1",
    "create_snap 1",
    "create_snap 1 x",
    "create_snap 5 5000",
    "delete",
    "delete 99999",
    "delete x",
    "frobnicate",
    "create_thin 1 2",
    "set_transaction_id 1",
    "set_transaction_id 9 10",
    "set_transaction_id x 1",
    "release_metadata_snap",
    "@0 create_thin 3",
)
_WEIGHTS = {
    "thin": 6,
    "snap": 8,
    "activate": 8,
    "deactivate": 4,
    "delete": 5,
    "write": 34,
    "rewrite": 3,
    "read": 4,
    "discard": 16,
    "flush": 1,
    "transaction": 2,
    "bad": 4,
    "metadata_snap": 2,
    "pause": 1,
    "reload": 1,
    "grow": 1,
    "reopen": 1,
    "fault": 4,
}


@dataclass
class _Picture:
    known: set[int] = field(default_factory=set)
    active: set[int] = field(default_factory=set)
    transaction: int = 0
    faulty: bool = False


class Generator:
    """A `Generator` makes one history; :meth:`history` may be called once."""

    def __init__(self, seed: int, count: int, *, faults: bool = False, requests: bool = False) -> None:
        self._seed = seed
        self._count = count
        self._faults = faults
        self._requests = requests
        self._random = random.Random(f"thinsim conformance {seed}")
        self._picture = _Picture()
        self._features = COMBINATIONS[seed % len(COMBINATIONS)]
        self._made_with = self._features
        self._block = self._random.choice(_BLOCKS)
        self._small = "error_if_no_space" in self._features
        blocks = 40 if self._small else 1000
        self._data_kib = blocks * self._block // 2
        self._low_water = self._random.choice([0, 8, 32])

    def history(self) -> History:
        """Return the history: the creation of a pool, then *count* operations or more."""
        operations: list[HistoryOperation] = []
        if self._faults:
            operations.append(Dmsetup(("create", "{disk}", "--table", self._disk_table())))
        operations.append(Dmsetup(("create", "{pool}", "--table", self._pool_table())))
        looked = 0
        while len(operations) < self._count:
            operations += self._next()
            if len(operations) - looked >= _LOOK_EVERY:
                looked = len(operations)
                operations.append(Look())
        operations.append(Look())
        traits = (
            f"block size {self._block} sectors",
            "features: " + (" ".join(self._made_with) or "none"),
            *(("the pool fills up",) if self._small else ()),
            *(("faults of the data device",) if self._faults else ()),
            *(("requests for zeros",) if self._requests else ()),
        )
        return History(f"random-{self._seed}", self._data_kib, 4096, tuple(operations), traits)

    def _next(self) -> list[HistoryOperation]:
        picture = self._picture
        weights = dict(_WEIGHTS)
        if not self._faults:
            del weights["fault"]
        if self._requests:
            weights["request"] = _REQUEST_WEIGHT
        choice = self._random.choices(list(weights), list(weights.values()))[0]
        if choice in ("snap", "activate") and not picture.known:
            choice = "thin"
        if choice in ("deactivate", "write", "rewrite", "read", "discard", "flush", "pause", "request"):
            if not picture.known:
                choice = "thin"
            elif not picture.active:
                choice = "activate"
        operations: list[HistoryOperation] = getattr(self, f"_{choice}")()
        return operations

    def _thin(self) -> list[HistoryOperation]:
        thin = self._random.choice(_IDS)
        self._picture.known.add(thin)
        return [self._message(f"create_thin {thin}")]

    def _snap(self) -> list[HistoryOperation]:
        origin, thin = self._known(), self._random.choice(_IDS)
        self._picture.known.add(thin)
        message = self._message(f"create_snap {thin} {origin}")
        if origin in self._picture.active and self._random.random() < 0.9:
            name = f"{{t{origin}}}"
            return [Dmsetup(("suspend", name)), message, Dmsetup(("resume", name))]
        return [message]

    def _activate(self) -> list[HistoryOperation]:
        thin = self._known()
        self._picture.active.add(thin)
        length = self._random.choices([THIN_SECTORS, THIN_SECTORS // 2, THIN_SECTORS - 72], [12, 1, 1])[0]
        return [self._activation(thin, length)]

    def _deactivate(self) -> list[HistoryOperation]:
        thin = self._active()
        self._picture.active.discard(thin)
        return [Dmsetup(("remove", f"{{t{thin}}}"))]

    def _delete(self) -> list[HistoryOperation]:
        known = self._picture.known
        likely = bool(known) and self._random.random() < 0.8
        thin = self._known() if likely else self._random.randrange(1, 30)
        if thin not in self._picture.active:
            known.discard(thin)
        return [self._message(f"delete {thin}")]

    def _write(self) -> list[HistoryOperation]:
        length = self._random.choice([512, 4096, 8192, 65536, 131072, 262144])
        unit = 512 if length == 512 else 4096
        offset = self._random.randrange(0, _THIN_BYTES - _LARGEST_WRITE, unit)
        if self._random.random() < 0.5:
            offset -= offset % 65536
        return [Write(f"t{self._active()}", offset, length, self._tag())]

    def _rewrite(self) -> list[HistoryOperation]:
        """Return small writes to adjacent blocks, which provision and break sharing."""
        base, device = self._random.randrange(0, 24) * self._block * 512, f"t{self._active()}"
        step = self._block * 512
        return [Write(device, (base + at * step) % _THIN_BYTES, 4096, self._tag()) for at in range(4)]

    def _read(self) -> list[HistoryOperation]:
        offset = self._random.randrange(0, _THIN_BYTES - _LARGEST_WRITE, 512)
        return [Read(f"t{self._active()}", offset, self._random.choice([512, 4096, 65536, 1 << 20]))]

    def _discard(self) -> list[HistoryOperation]:
        offset = self._random.randrange(0, _THIN_BYTES - _LARGEST_DISCARD, 512)
        length = self._random.choice([512, 65536, 65536 * 3, 1 << 20, _LARGEST_DISCARD])
        if self._random.random() < 0.6:
            offset -= offset % 65536
        return [Discard(f"t{self._active()}", offset, length)]

    def _request(self) -> list[HistoryOperation]:
        """Return a request for zeros, or now and then another request of the block layer."""
        kind = self._random.choice(_ZEROING if self._random.random() < 0.8 else tuple(KINDS))
        length = self._random.choice([512, 4096, 65536, 65536 * 3])
        offset = self._random.randrange(0, _THIN_BYTES - _LARGEST_WRITE, 512)
        if self._random.random() < 0.4:
            offset -= offset % 65536
        device = f"t{self._active()}"
        return [BlockRequest(device, kind, offset, length, self._tag()), Read(device, offset, length)]

    def _flush(self) -> list[HistoryOperation]:
        return [Flush(f"t{self._active()}")]

    def _transaction(self) -> list[HistoryOperation]:
        old = self._picture.transaction
        if self._random.random() < 0.7:
            self._picture.transaction += 1
            return [self._message(f"set_transaction_id {old} {old + 1}")]
        return [self._message(f"set_transaction_id {old + 5} {old + 1}")]

    def _bad(self) -> list[HistoryOperation]:
        return [self._message(self._random.choice(_BAD_MESSAGES))]

    def _metadata_snap(self) -> list[HistoryOperation]:
        return [self._message(self._random.choice(["reserve_metadata_snap", "release_metadata_snap"]))]

    def _pause(self) -> list[HistoryOperation]:
        device = self._random.choice(["pool", f"t{self._active()}"])
        between = self._random.choice(
            [
                Dmsetup(("info", "-c", "--noheadings", "-o", "attr", f"{{{device}}}")),
                self._message(f"create_thin {self._random.randrange(30, 33)}"),
                Dmsetup(("suspend", f"{{{device}}}")),
            ]
        )
        return [Dmsetup(("suspend", f"{{{device}}}")), between, Dmsetup(("resume", f"{{{device}}}"))]

    def _reload(self) -> list[HistoryOperation]:
        """Return a reload with another low water mark and other features; ignore_discard cannot change."""
        self._low_water = self._random.choice([0, 8, 32, 64])
        changeable = {"skip_block_zeroing", "no_discard_passdown"}
        kept = [word for word in self._features if word not in changeable]
        self._features = tuple(
            word for word in FEATURES if word in kept or (word in changeable and self._random.random() < 0.5)
        )
        return self._swap_pool()

    def _grow(self) -> list[HistoryOperation]:
        self._data_kib += 4 * self._block // 2 if self._small else 64 * self._block // 2
        grow: list[HistoryOperation] = [Grow("data", self._data_kib)]
        if self._faults:
            self._picture.faulty = False
            grow += self._swap_disk(self._disk_table())
        return grow + self._swap_pool()

    def _reopen(self) -> list[HistoryOperation]:
        """Return the removal and creation of the pool; the active devices are active again."""
        thins = sorted(self._picture.active)
        create = Dmsetup(("create", "{pool}", "--table", self._pool_table()))
        return [
            *(Dmsetup(("remove", f"{{t{thin}}}")) for thin in thins),
            Dmsetup(("remove", "{pool}")),
            create,
            *(self._activation(thin, THIN_SECTORS) for thin in thins),
        ]

    def _fault(self) -> list[HistoryOperation]:
        """Return a table with errors in a range of the data device, or the table without errors."""
        self._picture.faulty = not self._picture.faulty
        if not self._picture.faulty:
            return self._swap_disk(self._disk_table())
        sectors = self._data_kib * 2
        first = self._random.randrange(0, sectors // 2, 8)
        length = min(self._random.choice([8, self._block, self._block * 8, sectors // 2]), sectors - first)
        after = first + length
        lines = [f"0 {first} linear {{data}} 0"] if first else []
        lines.append(f"{first} {length} error")
        if after < sectors:
            lines.append(f"{after} {sectors - after} linear {{data}} {after}")
        return self._swap_disk("\n".join(lines))

    def _swap_disk(self, table: str) -> list[HistoryOperation]:
        return [
            Dmsetup(("load", "{disk}", "--table", table)),
            Dmsetup(("suspend", "{disk}")),
            Dmsetup(("resume", "{disk}")),
        ]

    def _swap_pool(self) -> list[HistoryOperation]:
        return [
            Dmsetup(("load", "{pool}", "--table", self._pool_table())),
            Dmsetup(("suspend", "{pool}")),
            Dmsetup(("resume", "{pool}")),
        ]

    def _pool_table(self) -> str:
        data = "/dev/mapper/{disk}" if self._faults else "{data}"
        words = " ".join((str(len(self._features)), *self._features))
        return f"0 {self._data_kib * 2} thin-pool {{metadata}} {data} {self._block} {self._low_water} {words}"

    def _disk_table(self) -> str:
        return f"0 {self._data_kib * 2} linear {{data}} 0"

    def _activation(self, thin: int, length: int) -> Dmsetup:
        return Dmsetup(("create", f"{{t{thin}}}", "--table", f"0 {length} thin /dev/mapper/{{pool}} {thin}"))

    def _message(self, text: str) -> Dmsetup:
        return Dmsetup(("message", "{pool}", "0", text))

    def _known(self) -> int:
        return self._random.choice(sorted(self._picture.known))

    def _active(self) -> int:
        return self._random.choice(sorted(self._picture.active))

    def _tag(self) -> int:
        return self._random.randrange(1, 1 << 48)


def random_history(seed: int, count: int, *, faults: bool = False, requests: bool = False) -> History:
    """Return the history of *seed*: at least *count* operations.

    With *faults* the data device has faults; with *requests* the history also sends requests for zeros.
    """
    return Generator(seed, count, faults=faults, requests=requests).history()
