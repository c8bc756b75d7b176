#!/usr/bin/env python3
"""Run the steps of dmsetup_steps.py with the dmsetup in PATH and print what each answered, as JSON lines.

usage: record_dmsetup.py DIRECTORY      (a directory where sparse files and loop devices may be made)

A line a step: ``section``, ``act`` and what it took; for dmsetup ``argv``, ``stdin``, ``stdout``,
``stderr``, ``status`` (null: it did not end) and, after the step, ``numbers``: major:minor of every
device by its name. Where a text names a device by number (``253:0``, ``253, 0``, ``dm-0``) the number
is replaced by the device's name in braces, since the kernel gives the lowest free one; loop devices
have the names that the steps give them. Columns of numbers (``info -c``) stay as they are. Standard
library only, so that it starts quickly where everything is slow.
"""

import json
import mmap
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dmsetup_steps import DEVICES, SECTIONS

CONTROL = Path("/dev/mapper/control")
_WAIT_SECONDS = 15
_SETTLE_SECONDS = 0.5


class Recorder:
    """Runs steps in a directory and prints a line for each."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loops: dict[str, str] = {}
        self.opened: dict[str, int] = {}
        self.waiting: dict[str, tuple[list[str], subprocess.Popen[str]]] = {}
        self.numbers: dict[str, str] = {}

    def run(self) -> None:
        """Run every section on fresh devices."""
        for section, steps in SECTIONS:
            self.make_devices()
            self.note_numbers()
            try:
                for step in steps:
                    answer = getattr(self, f"do_{step['act']}")(step)
                    print(json.dumps({"section": section, **step, **answer}), flush=True)
            finally:
                self.clear()

    def do_dmsetup(self, step: dict) -> dict:
        """Run dmsetup to its end."""
        argv = [self.real(word) for word in step["argv"]]
        stdin = step.get("stdin")
        try:
            done = subprocess.run(
                ["dmsetup", *argv],
                input=None if stdin is None else self.real(stdin),
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                check=False,
                cwd=self.directory,
                timeout=_WAIT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            self.note_numbers()
            return {"stdout": "", "stderr": "", "status": None, "numbers": self.numbers}
        return self.answer(done.stdout, done.stderr, done.returncode)

    def do_start(self, step: dict) -> dict:
        """Start a dmsetup that waits."""
        argv = [self.real(word) for word in step["argv"]]
        process = subprocess.Popen(
            ["dmsetup", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.directory,
        )
        self.waiting[step["name"]] = (argv, process)
        time.sleep(_SETTLE_SECONDS)
        return {"running": process.poll() is None}

    def do_finish(self, step: dict) -> dict:
        """Collect what a waiting dmsetup answered."""
        _, process = self.waiting.pop(step["name"])
        try:
            out, err = process.communicate(timeout=_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return {"status": None}
        return self.answer(out, err, process.returncode)

    def do_file(self, step: dict) -> dict:
        """Write a file in the directory."""
        (self.directory / step["name"]).write_text(self.real(step["text"]))
        return {}

    def do_write(self, step: dict) -> dict:
        """Write one byte over and over, past the page cache."""
        return self.device_io(step, os.O_WRONLY, lambda fd, buffer: os.pwrite(fd, buffer, step["offset"]))

    def do_read(self, step: dict) -> dict:
        """Read past the page cache; tells the sum of the bytes."""
        return self.device_io(step, os.O_RDONLY, lambda fd, buffer: os.preadv(fd, [buffer], step["offset"]))

    def device_io(self, step: dict, flags: int, act) -> dict:
        """One request to the node of a device; a refusal is an errno."""
        with mmap.mmap(-1, step["length"]) as buffer:
            buffer[:] = bytes([step.get("byte", 0)]) * step["length"]
            try:
                fd = os.open(self.node(step["device"]), flags | os.O_DIRECT)
                try:
                    done = act(fd, buffer)
                finally:
                    os.close(fd)
            except OSError as error:
                return {"errno": error.errno}
            return {"done": done, **({"sum": sum(buffer[:])} if flags == os.O_RDONLY else {})}

    def do_open(self, step: dict) -> dict:
        """Hold a node open."""
        self.opened[step["device"]] = os.open(self.node(step["device"]), os.O_RDONLY)
        return {}

    def do_close(self, step: dict) -> dict:
        """Let it go."""
        os.close(self.opened.pop(step["device"]))
        time.sleep(_SETTLE_SECONDS)
        return {}

    def do_nodes(self, step: dict) -> dict:
        """Tell what stands in /dev/mapper."""
        return {"nodes": sorted(path.name for path in Path("/dev/mapper").iterdir())}

    def answer(self, out: str, err: str, status: int) -> dict:
        """Return the texts with names for numbers: those before the step and those after it."""
        before = self.numbers
        self.note_numbers()
        names = {number: name for name, number in {**before, **self.numbers}.items()}
        texts = {"stdout": self.named(out, names), "stderr": self.named(err, names)}
        return {**texts, "status": status, "numbers": self.numbers}

    def real(self, text: str) -> str:
        """Put the paths of loop devices and the directory for their names in braces."""
        for name, path in self.loops.items():
            text = text.replace(f"{{{name}}}", path)
        return text.replace("{dir}", str(self.directory))

    def named(self, text: str, names: dict[str, str]) -> str:
        """Put names in braces for paths and numbers."""
        text = text.replace(str(self.directory), "{dir}")
        for name, path in self.loops.items():
            text = re.sub(rf"{path}\b", f"{{{name}}}", text)

        def name_of(match: re.Match[str]) -> str:
            name = names.get(f"{match[1]}:{match[2]}")
            return match[0] if name is None else f"{{{name}}}"

        text = re.sub(r"\b(\d+)(?::|, )(\d+)\b", name_of, text)
        by_minor = {number.partition(":")[2]: n for number, n in names.items() if not number.startswith("7:")}
        return re.sub(
            r"\bdm-(\d+)\b", lambda m: f"dm-{{{by_minor[m[1]]}}}" if m[1] in by_minor else m[0], text
        )

    def node(self, name: str) -> str:
        """Return the path of a device-mapper device, or of a loop device."""
        return self.loops.get(name) or f"/dev/mapper/{name}"

    def note_numbers(self) -> None:
        """Ask for the number of every device."""
        self.numbers = dict(sysfs_numbers() if CONTROL.exists() else reported_numbers())
        for name, path in self.loops.items():
            number = Path(path).stat().st_rdev
            self.numbers[name] = f"{os.major(number)}:{os.minor(number)}"

    def make_devices(self) -> None:
        """Make a sparse file and a loop device on it for each name."""
        for name, mib in DEVICES.items():
            file = self.directory / f"{name}.img"
            file.unlink(missing_ok=True)
            with file.open("xb") as made:
                made.truncate(mib << 20)
            attach = ["losetup", "--find", "--show", str(file)]
            self.loops[name] = subprocess.run(
                attach, capture_output=True, text=True, check=True
            ).stdout.strip()

    def clear(self) -> None:
        """Remove every device-mapper device that the section left, then its loop devices."""
        for fd in self.opened.values():
            os.close(fd)
        for _, process in self.waiting.values():
            process.kill()
            process.communicate()
        self.opened, self.waiting = {}, {}
        for _ in range(4):  # stacked devices go from the top
            for name in [name for name in self.numbers if name not in self.loops]:
                subprocess.run(["dmsetup", "resume", name], capture_output=True, check=False)
                subprocess.run(["dmsetup", "remove", name], capture_output=True, check=False)
            self.note_numbers()
            if self.numbers.keys() <= self.loops.keys():
                break
        for path in self.loops.values():
            subprocess.run(["losetup", "--detach", path], check=True)
        self.loops = {}


def sysfs_numbers() -> Iterator[tuple[str, str]]:
    """The kernel's own list: reading it costs no process."""
    for entry in Path("/sys/block").glob("dm-*"):
        with suppress(OSError):
            yield (entry / "dm/name").read_text().rstrip("\n"), (entry / "dev").read_text().strip()


def reported_numbers() -> Iterator[tuple[str, str]]:
    """Where no kernel device-mapper is, the dmsetup in PATH knows."""
    command = ["dmsetup", "info", "-c", "--noheadings", "--separator", "/", "-o", "major,minor,name"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for line in shown.splitlines():
        if line.count("/") >= 2:
            major, minor, name = line.split("/", 2)
            yield name, f"{major}:{minor}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__.split("\n\n")[1])
    os.environ["LC_ALL"] = "C"
    Recorder(Path(sys.argv[1]).resolve()).run()
