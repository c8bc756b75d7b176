#!/usr/bin/env python3
"""The script carries out sections of steps with the dmsetup in PATH, and records the answer to each step.

usage: record_pool_life.py SCRATCH RECORDINGS [PATTERN]

The script records the sections whose names match the regular expression PATTERN. Without it, it records the
sections that the file of this kernel in RECORDINGS lacks or has with other steps. A section is written to the
file as soon as it has ended.

The sections are those of pool_life_space.py, _devices, _failures, _gone and _losses, each on fresh devices.
SCRATCH takes sparse files with loop devices on them. The file has one JSON line per step: its section, the
step, ``error`` (the errno's name, null for success), ``text`` if it has one, ``at`` (the second at which it
was carried out), and the pool's status (without a commit) and event number after it. Standard library only.
"""

import errno
import fcntl
import hashlib
import json
import mmap
import os
import re
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pool_life_devices
import pool_life_failures
import pool_life_gone
import pool_life_losses
import pool_life_recording
import pool_life_space
from pool_life_steps import MIB, LifeStep

SECTIONS = (
    pool_life_space.SECTIONS
    | pool_life_devices.SECTIONS
    | pool_life_failures.SECTIONS
    | pool_life_gone.SECTIONS
    | pool_life_losses.SECTIONS
)

LIMIT = 900
"""Seconds that a section may take; emulated guests need about 2 per step, and many more on busy machines."""

BLKDISCARD = 0x1277
TIMEOUT = Path("/sys/module/dm_thin_pool/parameters/no_space_timeout")
FLAGS = {"noflush": "--noflush"}


def sh(*command: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip("\n")


def name_of_error(text: str) -> str:
    parts = [part.strip() for part in re.split(r"[:\n.]", text)]
    if "Device does not exist" in parts:
        return "ENXIO"
    return next((name for number, name in errno.errorcode.items() if os.strerror(number) in parts), text)


class Life:
    """A `Life` makes the devices of a section and carries out its steps."""

    def __init__(self, directory: Path, section: str) -> None:
        self.directory = directory
        self.section = section
        self.loops: dict[str, str] = {}
        self.tasks: dict[str, tuple[threading.Thread, dict]] = {}
        for device, mib in MIB.items():
            self.size(device, mib)
            status, out = sh("losetup", "-f", "--show", str(directory / device))
            assert status == 0, out
            self.loops[device] = out
            sh("dmsetup", "create", f"below-{device}", "--table", self.below(device))

    def size(self, device: str, mib: float) -> None:
        with (self.directory / device).open("ab") as made:
            made.truncate(int(mib * (1 << 20)))

    def below(self, device: str, what: str = "nothing") -> str:
        sectors = (self.directory / device).stat().st_size // 512
        loop = self.loops[device]
        if what == "all":
            return f"0 {sectors} error"
        if what == "writes":
            return f"0 {sectors} flakey {loop} 0 0 3600 1 error_writes"
        return f"0 {sectors} linear {loop} 0"

    def change_below(self, device: str, what: str = "nothing") -> dict:
        below = f"below-{device}"
        sh("dmsetup", "suspend", "--noflush", "--nolockfs", below)
        status, out = sh("dmsetup", "load", below, "--table", self.below(device, what))
        assert status == 0, out
        status, out = sh("dmsetup", "resume", below)
        assert status == 0, out
        return {"error": None}

    def run(self) -> None:
        began = time.monotonic()
        for step in SECTIONS[self.section]:
            answer: dict = {}
            if "task" in step and step["act"] != "end":
                thread = threading.Thread(target=self.carry_out, args=(step, answer))
                thread.start()
                self.tasks[step["task"]] = thread, answer
                time.sleep(0.5)
                answer = {}
            else:
                self.carry_out(step, answer)
            at = {"at": round(time.monotonic() - began, 1)}
            seen = {} if step.get("look") is False else self.look()
            print(json.dumps({"section": self.section, **step, **at, **answer, **seen}), flush=True)

    def look(self) -> dict:
        status, line = sh("dmsetup", "status", "--noflush", "pool")
        if status:
            return {}
        return {
            "pool": line,
            "events": int(sh("dmsetup", "info", "-c", "--noheadings", "-o", "events", "pool")[1]),
        }

    def carry_out(self, step: dict, answer: dict) -> None:
        answer.update(getattr(self, f"do_{step['act']}")(step))

    def dm(self, *argv: str) -> dict:
        status, out = sh("dmsetup", *argv)
        return {"error": name_of_error(out) if status else None}

    def answer_of(self, *argv: str) -> dict:
        status, out = sh("dmsetup", *argv)
        if status:
            return {"error": name_of_error(out)}
        return {"error": None, "text": re.sub(r"\b\d+:\d+\b", "DEV", out) if argv[0] == "table" else out}

    def do_create(self, step: dict) -> dict:
        return self.dm("create", step["name"], "--table", self.real(step["table"]))

    def do_load(self, step: dict) -> dict:
        return self.dm("load", step["name"], "--table", self.real(step["table"]))

    def do_suspend(self, step: dict) -> dict:
        return self.dm("suspend", *(flag for name, flag in FLAGS.items() if step.get(name)), step["name"])

    def do_resume(self, step: dict) -> dict:
        return self.dm("resume", step["name"])

    def do_remove(self, step: dict) -> dict:
        return self.dm("remove", step["name"])

    def do_rename(self, step: dict) -> dict:
        return self.dm("rename", step["name"], step["to"])

    def do_message(self, step: dict) -> dict:
        return self.dm("message", step["name"], "0", step["text"])

    def do_status(self, step: dict) -> dict:
        return self.answer_of("status", step["name"])

    def do_table(self, step: dict) -> dict:
        return self.answer_of("table", step["name"])

    def do_info(self, step: dict) -> dict:
        return self.answer_of("info", "-c", "--noheadings", "-o", "suspended", step["name"])

    def do_write(self, step: dict) -> dict:
        with mmap.mmap(-1, step["length"]) as buffer:
            buffer[:] = bytes([step["byte"]]) * step["length"]
            return self.io(step["name"], lambda fd: os.pwrite(fd, buffer, step["offset"]))

    def do_discard(self, step: dict) -> dict:
        packed = struct.pack("QQ", step["offset"], step["length"])
        return self.io(step["name"], lambda fd: fcntl.ioctl(fd, BLKDISCARD, packed))

    def do_flush(self, step: dict) -> dict:
        return self.io(step["name"], os.fsync)

    def do_content(self, step: dict) -> dict:
        digest = hashlib.sha256()

        def read(fd: int) -> None:
            size = os.lseek(fd, 0, os.SEEK_END)
            with mmap.mmap(-1, 65536) as buffer:
                for offset in range(0, size, len(buffer)):
                    digest.update(buffer[: os.preadv(fd, [buffer], offset)])

        answer = self.io(step["name"], read)
        return answer if answer["error"] else {**answer, "text": digest.hexdigest()[:16]}

    def do_fill(self, step: dict) -> dict:
        size = (self.directory / step["device"]).stat().st_size
        with Path(self.loops[step["device"]]).open("r+b", buffering=0) as device:
            for number in range(size // 4096):
                device.write(struct.pack("<Q", number + 1) * 512)
            os.fsync(device.fileno())
        return {"error": None}

    def do_grow(self, step: dict) -> dict:
        self.size(step["device"], step["mib"])
        sh("losetup", "-c", self.loops[step["device"]])
        return self.change_below(step["device"])

    do_shrink = do_grow

    def do_fails(self, step: dict) -> dict:
        return self.change_below(step["device"], step["what"])

    def do_timeout(self, step: dict) -> dict:
        TIMEOUT.write_text(str(step["seconds"]))
        return {"error": None}

    def do_sleep(self, step: dict) -> dict:
        time.sleep(step["seconds"])
        return {"error": None}

    def do_end(self, step: dict) -> dict:
        thread, answer = self.tasks.pop(step["task"])
        thread.join(step.get("within", 30))
        return {"error": "hangs"} if thread.is_alive() else answer

    def io(self, name: str, act) -> dict:
        try:
            fd = os.open(Path("/dev/mapper", name).resolve(), os.O_RDWR | os.O_DIRECT)
            try:
                act(fd)
            finally:
                os.close(fd)
        except OSError as error:
            return {"error": errno.errorcode[error.errno]}
        return {"error": None}

    def real(self, text: str) -> str:
        return text.format(**{device: f"/dev/mapper/below-{device}" for device in MIB})

    def clear(self) -> None:
        for _ in range(4):
            for line in sh("dmsetup", "ls")[1].splitlines():
                sh("dmsetup", "resume", line.split()[0])
                sh("dmsetup", "remove", line.split()[0])
        for device, loop in self.loops.items():
            sh("losetup", "-d", loop)
            (self.directory / device).unlink()


def live(directory: Path, section: str) -> None:
    """Carry out a section in this process and print the answers."""
    life = Life(directory, section)
    try:
        life.run()
    finally:
        life.clear()


def record(directory: Path, section: str) -> tuple[list[LifeStep], bool]:
    """Carry out a section in a process of its own; return the answers and whether it ended.

    If the kernel blocks the process for too long, it is left behind, with the devices of the section.
    """
    answers = directory / "answers.jsonl"
    with answers.open("wb") as out:
        child = subprocess.Popen([sys.executable, __file__, str(directory), "--live", section], stdout=out)
        with suppress(subprocess.TimeoutExpired):
            child.wait(LIMIT)
    ended = child.poll() is not None
    if not ended:
        child.kill()
        with suppress(subprocess.TimeoutExpired):
            child.wait(10)
    elif child.returncode:
        raise SystemExit(f"{section}: exit status {child.returncode}")
    answered = [json.loads(line) for line in answers.read_text().splitlines()]
    for step in SECTIONS[section][len(answered) :][:1]:
        answered.append({"section": section, **step, "unanswered": f"not within {LIMIT} s"})
    return answered, ended


def main(directory: Path, recordings: Path, pattern: str = "") -> None:
    path = pool_life_recording.file_of_this_kernel(recordings)
    wanted = pool_life_recording.to_record(SECTIONS, pool_life_recording.read(path), pattern)
    for number, section in enumerate(wanted, 1):
        print(f"{number} of {len(wanted)}: {section}", flush=True)
        answered, ended = record(directory, section)
        pool_life_recording.take_in(path, section, answered, SECTIONS)
        if not ended:
            raise SystemExit(f"hangs at {answered[-1]}: record what is left in another guest")


if __name__ == "__main__":
    if sys.argv[2:3] == ["--live"]:
        live(Path(sys.argv[1]), sys.argv[3])
    elif len(sys.argv) not in (3, 4):
        sys.exit(__doc__.split("\n\n")[1])
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
