#!/usr/bin/env python3
"""Hand one pool from the emulated dm-thin to the kernel's and back, and compare what each reads and writes.

usage: relay.py DIRECTORY [--turns N] [--kernel-first]

A turn activates the pool in DIRECTORY (files `data` and `metadata`), and notes its status and the status and
content of each device. Then it writes, discards and takes snapshots, and notes everything again. Turns
alternate between the emulated device-mapper of this machine and the kernel of a throw-away guest. Each turn
must find the pool as the turn before left it, and thin_check must find no fault. Otherwise the exit status
is 1.
"""

import argparse
import fcntl
import hashlib
import json
import mmap
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

POOL = "relay"
DATA_MIB, METADATA_MIB = 128, 8
BLOCK = 64 << 10
DEVICE_BLOCKS = 256
OPERATIONS = 120
MOST_DEVICES = 16
GUEST_SCRATCH = Path("/run/thinsim-scratch/relay")  # a loop device needs a file system with direct I/O
_BLKDISCARD = 0x1277
THINSIM = (sys.executable, "-m", "thinsim")


def run(*command: str) -> str:
    """Return the output of *command*; exit if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


class Turn:
    """A `Turn` uses the pool once, with the device-mapper of the `dmsetup` in PATH."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.random = random.Random(seed)
        self.state: dict[str, Any] = json.loads((directory / "state.json").read_text())
        self.buffer = mmap.mmap(-1, 1 << 20)
        self.loops: list[str] = []
        self.active: list[int] = []

    def take(self) -> dict[str, Any]:
        """Take the turn: activate, look, work, look, deactivate. Return both looks."""
        try:
            data, metadata = self.attach("data"), self.attach("metadata")
            sectors = DATA_MIB << 11
            table = f"0 {sectors} thin-pool {metadata} {data} {BLOCK >> 9} 0 1 skip_block_zeroing"
            run("dmsetup", "create", POOL, "--table", table)
            for thin_id in self.state["ids"]:
                self.activate(thin_id)
            found = self.look()
            for _ in range(OPERATIONS):
                self.work()
            left = self.look()
        finally:
            self.deactivate()
        (self.directory / "state.json").write_text(json.dumps(self.state))
        return {"found": found, "left": left}

    def attach(self, name: str) -> str:
        device = run("losetup", "--find", "--show", str(self.directory / name))
        self.loops.append(device)
        return device

    def activate(self, thin_id: int) -> None:
        table = f"0 {DEVICE_BLOCKS * BLOCK >> 9} thin /dev/mapper/{POOL} {thin_id}"
        run("dmsetup", "create", f"{POOL}-{thin_id}", "--table", table)
        self.active.append(thin_id)

    def deactivate(self) -> None:
        for thin_id in self.active:
            run("dmsetup", "remove", "--retry", f"{POOL}-{thin_id}")
        if self.loops:
            run("dmsetup", "remove", "--retry", POOL)
        for device in self.loops:
            run("losetup", "--detach", device)

    def look(self) -> dict[str, Any]:
        """Return all status lines and the hashes of the devices. The block of a held root is left out."""
        pool = run("dmsetup", "status", POOL).split()
        pool[6] = "held" if pool[6] != "-" else "-"
        return {
            "pool": " ".join(pool),
            "thins": {str(each): run("dmsetup", "status", f"{POOL}-{each}") for each in self.state["ids"]},
            "contents": {str(each): self.content(each) for each in self.state["ids"]},
        }

    def work(self) -> None:
        """Do one random operation."""
        ids: list[int] = self.state["ids"]
        what = self.random.choices(
            ["thin", "snap", "delete", "write", "discard", "metadata_snap", "transaction"],
            [2, 8, 4, 60, 20, 3, 3],
        )[0]
        if what == "metadata_snap":
            run(
                "dmsetup",
                "message",
                POOL,
                "0",
                f"{'release' if self.state['held'] else 'reserve'}_metadata_snap",
            )
            self.state["held"] = not self.state["held"]
        elif what == "transaction":
            old = self.state["transaction"]
            run("dmsetup", "message", POOL, "0", f"set_transaction_id {old} {old + 1}")
            self.state["transaction"] = old + 1
        elif what == "delete" and len(ids) > 3:
            thin_id = ids.pop(self.random.randrange(len(ids)))
            self.active.remove(thin_id)
            run("dmsetup", "remove", "--retry", f"{POOL}-{thin_id}")
            run("dmsetup", "message", POOL, "0", f"delete {thin_id}")
        elif what in ("thin", "snap") and len(ids) < MOST_DEVICES:
            self.create(None if what == "thin" or not ids else self.random.choice(ids))
        elif what in ("write", "discard") and ids:
            self.change(what, self.random.choice(ids))

    def create(self, origin: int | None) -> None:
        thin_id = self.random.choice([each for each in range(1, 100) if each not in self.state["ids"]])
        if origin is None:
            run("dmsetup", "message", POOL, "0", f"create_thin {thin_id}")
        else:
            run("dmsetup", "suspend", f"{POOL}-{origin}")
            run("dmsetup", "message", POOL, "0", f"create_snap {thin_id} {origin}")
            run("dmsetup", "resume", f"{POOL}-{origin}")
        self.state["ids"].append(thin_id)
        self.activate(thin_id)

    def change(self, what: str, thin_id: int) -> None:
        start = self.random.randrange(DEVICE_BLOCKS - 8) * BLOCK
        fd = os.open(f"/dev/mapper/{POOL}-{thin_id}", os.O_RDWR | os.O_DIRECT)
        try:
            if what == "discard":
                fcntl.ioctl(fd, _BLKDISCARD, struct.pack("QQ", start, self.random.randint(1, 8) * BLOCK))
            else:
                length = self.random.choice([4096, BLOCK, 2 * BLOCK, 5 * BLOCK])
                self.buffer[:length] = self.random.randbytes(length)
                with memoryview(self.buffer) as view:
                    os.pwritev(fd, [view[:length]], start + self.random.choice([0, 0, 4096]))
        finally:
            os.close(fd)

    def content(self, thin_id: int) -> str:
        digest, offset = hashlib.sha256(), 0
        fd = os.open(f"/dev/mapper/{POOL}-{thin_id}", os.O_RDONLY | os.O_DIRECT)
        try:
            while offset < DEVICE_BLOCKS * BLOCK:
                count = os.preadv(fd, [self.buffer], offset)
                digest.update(self.buffer[:count])
                offset += count
        finally:
            os.close(fd)
        return digest.hexdigest()


def take_turn(directory: Path, seed: int, in_guest: bool) -> None:
    """Take a turn. In the guest it uses a copy, since a loop device needs the guest's own file system."""
    place = directory
    if in_guest:
        place = GUEST_SCRATCH
        place.mkdir()
        for name in ("data", "metadata", "state.json"):
            run("cp", "--sparse=always", str(directory / name), str(place))
    looks = Turn(place, seed).take()
    if in_guest:
        for name in ("data", "metadata", "state.json"):
            run("cp", "--sparse=always", str(place / name), str(directory))
    looks["system"] = "Linux " + os.uname().release if in_guest else "emulated"
    (directory / "turn.json").write_text(json.dumps(looks))


def relay(directory: Path, turns: int, kernel_first: bool) -> int:
    """Pass the pool on *turns* times, and return the exit status."""
    directory.mkdir(parents=True)
    for name, size in (("data", DATA_MIB), ("metadata", METADATA_MIB)):
        with (directory / name).open("wb") as file:
            file.truncate(size << 20)
    (directory / "state.json").write_text(json.dumps({"ids": [], "held": False, "transaction": 0}))
    with tempfile.TemporaryDirectory(prefix="thinsim-relay-", dir="/run") as own:
        # A device-mapper of its own, which ends with the relay.
        os.environ |= {"THINSIM_RUNTIME_DIR": own, "THINSIM_STATE_DIR": own}
        try:
            return hand_on(directory, turns, kernel_first)
        finally:
            subprocess.run([*THINSIM, "dm", "stop"], check=False)


def hand_on(directory: Path, turns: int, kernel_first: bool) -> int:
    """Take the turns; return the exit status."""
    left: dict[str, Any] | None = None
    wrong = 0
    for turn in range(turns):
        in_guest = (turn % 2 == 0) == kernel_first
        play = [
            sys.executable,
            __file__,
            str(directory),
            "--play",
            str(turn),
            *(["--in-guest"] if in_guest else []),
        ]
        place = (
            [*THINSIM, "vm", "run", "--share", str(directory), "--"] if in_guest else [*THINSIM, "env", "--"]
        )
        status = subprocess.run([*place, *play], check=False).returncode
        if status != 0:
            raise SystemExit(f"turn {turn + 1} failed with status {status}")
        looks = json.loads((directory / "turn.json").read_text())
        differences = [] if left is None else different(left, looks["found"])
        check = subprocess.run(["thin_check", "-q", str(directory / "metadata")], check=False).returncode
        wrong += len(differences) + (check != 0)
        print(f"turn {turn + 1}, {looks['system']}:")
        print(
            f"  found {len(looks['found']['contents'])} devices",
            "as they were left" if left and not differences else "",  # words: quoted
        )
        for difference in differences:
            print(f"  differs: {difference}")
        print(f"  left {looks['left']['pool']}; thin_check exit {check}", flush=True)
        left = looks["left"]
    return 1 if wrong else 0


def different(left: dict[str, Any], found: dict[str, Any]) -> Sequence[str]:
    """Return the differences between the look that a turn left and the one that the next found."""
    names = [("pool", left["pool"], found["pool"])]
    for kind in ("thins", "contents"):
        for thin_id in left[kind].keys() | found[kind].keys():
            names.append((f"{kind} {thin_id}", left[kind].get(thin_id), found[kind].get(thin_id)))
    return [f"{name}: left {before}, found {after}" for name, before, after in names if before != after]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--kernel-first", action="store_true")
    parser.add_argument("--play", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--in-guest", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    directory = arguments.directory.resolve()
    if arguments.play is not None:
        take_turn(directory, arguments.play, arguments.in_guest)
        return 0
    if directory.exists():
        raise SystemExit(f"{directory} exists; name a new one")
    if shutil.which("thin_check") is None:
        raise SystemExit("thin_check is missing (apt-get install thin-provisioning-tools)")
    return relay(directory, arguments.turns, arguments.kernel_first)


if __name__ == "__main__":
    sys.exit(main())
