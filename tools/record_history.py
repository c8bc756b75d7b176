#!/usr/bin/env python3
"""Run a seeded random history on a thin pool through the dmsetup in PATH and print what it answered.

A JSON line an operation: exit status, first error line, the pool's status, the thin devices' statuses, now
and then a hash of every active device's whole content, the pool's table, the host's KiB of the data file;
at the end thin_check and thin_dump. The same seed and options give the same history anywhere. Standard
library only, so that it starts quickly where everything is slow.
"""

import argparse
import fcntl
import hashlib
import json
import mmap
import os
import random
import struct
import subprocess
from pathlib import Path

VIRTUAL_SECTORS = 16384
BLKDISCARD = 0x1277
OPERATIONS = {
    "thin": 6,
    "snap": 8,
    "act": 8,
    "deact": 4,
    "del": 5,
    "write": 40,
    "disc": 16,
    "trans": 1,
    "bad": 4,
    "msnap": 1,
    "remk": 2,
}
BAD_MESSAGES = [
    "create_thin",
    "create_thin 16777216",
    "create_thin x",
    "create_snap 1",
    "delete 99999",
    "frobnicate",
    "create_snap 5 5000",
    "delete",
    "set_transaction_id 1",
    "release_metadata_snap",
]


def sh(*command: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr or done.stdout


def dm(*arguments: str) -> tuple[int, str]:
    return sh("dmsetup", *arguments)


class History:
    """The pool, what is active on it, and the random choices."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.seed = options.seed
        self.count = options.count
        self.random = random.Random(options.seed)
        self.pool = f"hp{options.seed}"
        self.data_file = Path(options.directory, "data")
        self.metadata_file = Path(options.directory, "metadata")
        self.options = options
        self.known: set[int] = set()
        self.active: dict[int, str] = {}
        self.transaction_id = 0
        self.buffer = mmap.mmap(-1, 1 << 20)

    def run(self) -> None:
        options = vars(self.options)
        say({"op": "history", **{name: options[name] for name in sorted(options) if name != "directory"}})
        sizes = ((self.data_file, self.options.data_mb), (self.metadata_file, self.options.metadata_mb))
        for file, mib in sizes:
            file.unlink(missing_ok=True)
            with file.open("wb") as made:
                made.truncate(mib << 20)
        data, metadata = (sh("losetup", "-f", "--show", str(file))[1].strip() for file, _ in sizes)
        table = (
            f"0 {self.options.data_mb * 2048} thin-pool {metadata} {data} {self.options.block} "
            f"{self.options.low_water} {self.options.features}"
        )
        status, out = dm("create", self.pool, "--table", table)
        say({"op": "pool", "rc": status, "out": out.replace(metadata, "META").replace(data, "DATA")})
        for number in range(self.count):
            record = self.operation(number)
            if record is not None:
                say(record)
        for _, name in sorted(self.active.items()):
            dm("remove", name)
        say({"op": "end", "rc": dm("remove", self.pool)[0]})
        os.sync()
        say({"op": "thin_check", "rc": sh("thin_check", metadata)[0]})
        status, out = sh("thin_dump", metadata)
        digest = hashlib.sha256(out.encode()).hexdigest()[:16]
        say({"op": "thin_dump", "rc": status, "sha": digest, "xml": out})
        for device in (data, metadata):
            sh("losetup", "-d", device)
        for file, _ in sizes:
            file.unlink()

    def operation(self, number: int) -> dict | None:
        op = self.random.choices(list(OPERATIONS), list(OPERATIONS.values()))[0]
        record: dict = {"i": number, "op": op}
        known, active = sorted(self.known), sorted(self.active)
        if (op == "snap" and not known) or (op == "act" and not known):
            return None
        if op in ("deact", "write", "disc", "remk") and not active:
            return None
        status, out = getattr(self, f"do_{op}")(record, number, known, active)
        record["rc"] = status
        if status:
            record["err"] = self.first_line(out) if isinstance(out, str) else out
        record["pool"] = dm("status", self.pool)[1].strip("\n")
        record["thins"] = {t: dm("status", name)[1].strip() for t, name in sorted(self.active.items())}
        if number % 10 == 9:
            record["sha"] = {t: self.content(name) for t, name in sorted(self.active.items())}
        if number % 25 == 24:
            record["table"] = dm("table", self.pool)[1].replace("\n", "")
        if number % 10 == 9:
            os.sync()
            record["host_kib"] = self.data_file.stat().st_blocks // 2
        return record

    def do_thin(self, record: dict, number: int, known: list, active: list) -> tuple[int, str]:
        record["id"] = thin = self.random.randrange(1, 24)
        status, out = dm("message", self.pool, "0", f"create_thin {thin}")
        if status == 0:
            self.known.add(thin)
        return status, out

    def do_snap(self, record: dict, number: int, known: list, active: list) -> tuple[int, str]:
        origin, thin = self.random.choice(known), self.random.randrange(1, 24)
        record.update(id=thin, origin=origin)
        if origin in self.active:
            dm("suspend", self.active[origin])
        status, out = dm("message", self.pool, "0", f"create_snap {thin} {origin}")
        if origin in self.active:
            dm("resume", self.active[origin])
        if status == 0:
            self.known.add(thin)
        return status, out

    def do_act(self, record: dict, number: int, known: list, active: list) -> tuple[int, str]:
        record["id"] = thin = self.random.choice(known)
        name = f"{self.pool}-t{thin}"
        status, out = dm(
            "create", name, "--table", f"0 {VIRTUAL_SECTORS} thin /dev/mapper/{self.pool} {thin}"
        )
        if status == 0:
            self.active[thin] = name
        return status, out

    def do_deact(self, record: dict, number: int, known: list, active: list) -> tuple[int, str]:
        record["id"] = thin = self.random.choice(active)
        status, out = dm("remove", self.active[thin])
        if status == 0:
            del self.active[thin]
        return status, out

    def do_del(self, record: dict, number: int, known: list, active: list) -> tuple[int, str]:
        likely = bool(known) and self.random.random() < 0.8
        record["id"] = thin = self.random.choice(known) if likely else self.random.randrange(1, 30)
        status, out = dm("message", self.pool, "0", f"delete {thin}")
        if status == 0:
            self.known.discard(thin)
        return status, out

    def do_write(self, record: dict, number: int, known: list, active: list) -> tuple[int, str]:
        thin = self.random.choice(active)
        offset = self.random.randrange(0, VIRTUAL_SECTORS * 512 - (1 << 20), 4096)
        length = self.random.choice([4096, 8192, 65536, 131072, 262144])
        if self.random.random() < 0.5:
            offset -= offset % 65536
        record.update(id=thin, off=offset, ln=length)
        return self.write(self.active[thin], offset, length, self.seed * 100000 + number), ""

    def do_disc(self, record: dict, number: int, known: list, active: list) -> tuple[int, str]:
        thin = self.random.choice(active)
        offset = self.random.randrange(0, VIRTUAL_SECTORS * 512 - (4 << 20), 512)
        length = self.random.choice([512, 65536, 65536 * 3, 1 << 20, 4 << 20])
        if self.random.random() < 0.6:
            offset -= offset % 65536
        record.update(id=thin, off=offset, ln=length)
        return self.discard(self.active[thin], offset, length), ""

    def do_trans(self, record: dict, number: int, known: list, active: list) -> tuple[int, str]:
        old = self.transaction_id if self.random.random() < 0.7 else self.transaction_id + 5
        new = self.transaction_id + 1
        status, out = dm("message", self.pool, "0", f"set_transaction_id {old} {new}")
        if status == 0:
            self.transaction_id = new
        return status, out

    def do_bad(self, record: dict, number: int, known: list, active: list) -> tuple[int, str]:
        record["msg"] = message = self.random.choice(BAD_MESSAGES)
        return dm("message", self.pool, "0", message)

    def do_msnap(self, record: dict, number: int, known: list, active: list) -> tuple[int, str]:
        record["msg"] = message = self.random.choice(["reserve_metadata_snap", "release_metadata_snap"])
        return dm("message", self.pool, "0", message)

    def do_remk(self, record: dict, number: int, known: list, active: list) -> tuple[int, str]:
        """Small writes to blocks in a row: they provision, and break sharing."""
        record["id"] = thin = self.random.choice(active)
        base, status = self.random.randrange(0, 64) * 65536, 0
        for block in range(8):
            tag = self.seed * 100000 + number
            status |= self.write(self.active[thin], base + block * 65536, 4096, tag)
        return status, ""

    def first_line(self, text: str) -> str:
        return text.strip().splitlines()[0].replace(self.pool, "POOL") if text.strip() else ""

    def content(self, name: str) -> str:
        fd = os.open(node(name), os.O_RDONLY | os.O_DIRECT)
        digest, offset = hashlib.sha256(), 0
        while offset < VIRTUAL_SECTORS * 512:
            done = os.preadv(fd, [self.buffer], offset)
            digest.update(self.buffer[:done])
            offset += done
            if not done:
                break
        os.close(fd)
        return digest.hexdigest()[:16]

    def write(self, name: str, offset: int, length: int, tag: int) -> int:
        fd = os.open(node(name), os.O_RDWR | os.O_DIRECT)
        self.buffer[:length] = (struct.pack("<QQ", tag, offset) * (length // 16))[:length]
        try:
            os.pwritev(fd, [memoryview(self.buffer)[:length]], offset)
        except OSError as error:
            return error.errno or 1
        finally:
            os.close(fd)
        return 0

    def discard(self, name: str, offset: int, length: int) -> int:
        fd = os.open(node(name), os.O_RDWR)
        try:
            fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", offset, length))
        except OSError as error:
            return error.errno or 1
        finally:
            os.close(fd)
        return 0


def node(name: str) -> Path:
    return Path("/dev/mapper", name).resolve()


def say(record: dict) -> None:
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("count", type=int, help="operations")
    parser.add_argument("directory", help="where the two sparse files go; tmpfs or ext4")
    parser.add_argument("--data-mb", type=int, default=64, help="MiB")
    parser.add_argument("--metadata-mb", type=int, default=8, help="MiB")
    parser.add_argument("--block", type=int, default=128, help="data block size, sectors")
    parser.add_argument("--low-water", type=int, default=32, help="low water mark, data blocks")
    parser.add_argument("--features", default="1 skip_block_zeroing", help="count and words")
    History(parser.parse_args()).run()
