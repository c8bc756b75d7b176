#!/usr/bin/env python3
r"""Run the commands of transcripts with the dmsetup in PATH and print or rewrite what each answered.

usage: record_dmsetup.py [--rewrite] DIRECTORY TRANSCRIPT...   (DIRECTORY: for sparse files and loop devices)

dmsetup runs without udev (DM_DISABLE_UDEV): it makes the nodes itself and does not wait. If udev runs on the
machine, dmsetup prints a warning each time, which the transcript leaves out.

A transcript is text: commands, each followed by its answer, on four fresh loop devices::

    $ dmsetup status pool                     a command; \n and \t are newline and tab
    > 0 1024 thin-pool 0 13/2048 ...          a line of its standard output
    ! Command failed.                         a line of its standard error
    = 1                                       its exit status if not 0; "never" if it did not end

``< TEXT`` after dmsetup's words is its standard input. The other commands are ``start NAME WORDS`` and
``finish NAME`` (for a dmsetup that waits), ``file NAME TEXT``, ``write`` and ``read DEVICE OFFSET LENGTH``,
``hold`` and ``release DEVICE``, and ``nodes`` (the new names in /dev/mapper).

Device numbers differ from run to run, so the transcript has names for them, in commands and in answers:
``{disk}`` is a loop device's path, ``{dir}`` the directory, ``{major}`` device-mapper's major, ``{t1}`` major
and minor of a device, ``{node t1}`` the kernel's name for it (dm-3, loop5), ``{free}`` the number of a device
which has never had a table, or is gone. Nothing else is changed, except for the blanks between columns with
numbers.

Standard library only, so that it starts quickly in a guest.
"""

import mmap
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import errorcode
from pathlib import Path

DEVICES = {"data": 64, "metadata": 8, "disk": 32, "other": 32}
"""MiB of each loop device."""

MAPPER = Path("/dev/mapper")
_WAIT_SECONDS = 15
_SETTLE_SECONDS = 0.3
_UDEV_WARNING = re.compile(r"^Udev is running and DM_DISABLE_UDEV .*\n", re.MULTILINE)
_COLUMNS = {"-c", "-C", "--columns"}


class Recorder:
    """A `Recorder` runs the commands of a transcript in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loops: dict[str, str] = {}
        self._opened: dict[str, int] = {}
        self._waiting: dict[str, subprocess.Popen[str]] = {}
        self._numbers: dict[str, tuple[int, int]] = {}
        self._major = _device_mapper_major()
        self._nodes_before = set(_nodes())

    def record(self, transcript: str) -> str:
        """Return *transcript* with fresh answers. Lines that are neither command nor answer stay."""
        self._make_devices()
        self._note_numbers()
        lines = []
        try:
            for line in transcript.splitlines():
                if line.startswith("$ "):
                    lines += [line, *self._run(line[2:])]
                elif not line.startswith(("> ", "! ", "= ", ">", "!")):
                    lines.append(line)
        finally:
            self._clear()
        return "\n".join(lines) + "\n"

    def _run(self, text: str) -> list[str]:
        verb, *words = shlex.split(text)
        words = [word.replace("\\n", "\n").replace("\\t", "\t") for word in words]
        return list(getattr(self, f"_{verb}")(*words))

    # The verbs.

    def _dmsetup(self, *words: str) -> Iterator[str]:
        argv, stdin = list(words), None
        if "<" in words[:-1]:
            argv, stdin = list(words[:-2]), self._real(words[-1])
        try:
            done = subprocess.run(
                ["dmsetup", *map(self._real, argv)],
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                check=False,
                cwd=self._directory,
                timeout=_WAIT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            self._note_numbers()
            return iter(["= never"])
        return self._answer(argv, done.stdout, done.stderr, done.returncode)

    def _start(self, name: str, *words: str) -> Iterator[str]:
        self._waiting[name] = subprocess.Popen(
            ["dmsetup", *map(self._real, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self._directory,
        )
        time.sleep(_SETTLE_SECONDS)
        yield "> it waits" if self._waiting[name].poll() is None else "> it ended"

    def _finish(self, name: str) -> Iterator[str]:
        process = self._waiting.pop(name)
        try:
            out, err = process.communicate(timeout=_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return iter(["= never"])
        return self._answer([], out, err, process.returncode)

    def _file(self, name: str, text: str) -> Iterator[str]:
        (self._directory / name).write_text(self._real(text))
        yield from ()

    def _write(self, device: str, offset: str, length: str, byte: str) -> Iterator[str]:
        def write(fd: int, buffer: mmap.mmap) -> str:
            buffer[:] = bytes([int(byte)]) * len(buffer)
            return f"{os.pwrite(fd, buffer, int(offset))} bytes"

        yield self._direct(device, os.O_WRONLY, int(length), write)

    def _read(self, device: str, offset: str, length: str) -> Iterator[str]:
        def read(fd: int, buffer: mmap.mmap) -> str:
            done = os.preadv(fd, [buffer], int(offset))
            return f"{done} bytes, of these {', '.join(map(str, sorted(set(buffer[:done]))))}"

        yield self._direct(device, os.O_RDONLY, int(length), read)

    def _direct(self, device: str, flags: int, length: int, act: Callable[[int, mmap.mmap], str]) -> str:
        """Send one request past the page cache, and return its answer."""
        with mmap.mmap(-1, length) as buffer:
            try:
                fd = os.open(self._node(device), flags | os.O_DIRECT)
                try:
                    return f"> {act(fd, buffer)}"
                finally:
                    os.close(fd)
            except OSError as error:
                return f"! {errorcode[error.errno or 0]}"

    def _hold(self, device: str) -> Iterator[str]:
        self._opened[device] = os.open(self._node(device), os.O_RDONLY)
        yield from ()

    def _release(self, device: str) -> Iterator[str]:
        os.close(self._opened.pop(device))
        time.sleep(_SETTLE_SECONDS)
        yield from ()

    def _nodes(self) -> Iterator[str]:
        yield from (f"> {name}" for name in _nodes() if name not in self._nodes_before)

    # Names for numbers.

    def _answer(self, argv: list[str], out: str, err: str, status: int) -> Iterator[str]:
        """Yield the lines of an answer, with the names of devices before the command and after it."""
        before = self._numbers
        self._note_numbers()
        names = {number: name for name, number in {**before, **self._numbers}.items()}
        yield from _marked(">", self._named(out, names, argv))
        yield from _marked("!", self._named(_UDEV_WARNING.sub("", err), names, argv))
        if status:
            yield f"= {status}"

    def _real(self, text: str) -> str:
        for name, path in self._loops.items():
            text = text.replace(f"{{{name}}}", path)
        return text.replace("{dir}", str(self._directory)).replace("{major}", str(self._major))

    def _named(self, text: str, names: dict[tuple[int, int], str], argv: list[str]) -> str:
        text = text.replace(str(self._directory), "{dir}")
        for name, path in self._loops.items():
            text = re.sub(rf"{path}\b", f"{{{name}}}", text)

        def number(match: re.Match[str]) -> str:
            major, minor = int(match["major"]), int(match["minor"])
            if (major, minor) in names:
                return f"{{{names[major, minor]}}}"
            # A number in the help text belongs to no device.
            given = major == self._major and not text.startswith("linear ", match.start() - len("linear "))
            return "{free}" if given else match[0]

        def node(match: re.Match[str]) -> str:
            major = self._major if match[1] == "dm-" else 7
            name = names.get((major, int(match[2])))
            return match[0] if name is None else f"{{node {name}}}"

        between = r":|, "
        if _COLUMNS & set(argv):
            text = re.sub(r"(?m) +$", "", re.sub(r"(?<=\S) {2,}|(?m:^ +)", " ", text))
            between = r":|, | |\|"
        text = re.sub(rf"(?<![\w.])(?P<major>\d+)(?:{between})(?P<minor>\d+)\b", number, text)
        if "--concise" in argv:
            text = re.sub(r"(?m)((?:^|;)[^,;\n]*,[^,;\n]*),\d+,", r"\1,{minor},", text)
        return re.sub(r"\b(dm-|loop)(\d+)\b", node, text)

    def _node(self, name: str) -> str:
        return self._loops.get(name) or str(MAPPER / name)

    def _note_numbers(self) -> None:
        if _kernel_major():
            self._numbers = dict(_numbers_in_sysfs())
        else:
            known = self._numbers
            listed = _numbers_of_dmsetup()
            # In sysfs a device appears with its first table, so a device without one is ignored here as well.
            self._numbers = {name: number for name, number, bare in listed if not bare or name in known}
        for name, path in self._loops.items():
            number = Path(path).stat().st_rdev
            self._numbers[name] = os.major(number), os.minor(number)

    # The devices.

    def _make_devices(self) -> None:
        """Make a sparse file and a loop device on it for each name."""
        for name, mib in DEVICES.items():
            file = self._directory / f"{name}.img"
            file.unlink(missing_ok=True)
            with file.open("xb") as made:
                made.truncate(mib << 20)
            attach = ["losetup", "--find", "--show", str(file)]
            done = subprocess.run(attach, capture_output=True, text=True, check=True)
            self._loops[name] = done.stdout.strip()

    def _clear(self) -> None:
        """Remove the devices that the transcript left, then the loop devices."""
        for fd in self._opened.values():
            os.close(fd)
        for process in self._waiting.values():
            process.kill()
            process.communicate()
        self._opened, self._waiting = {}, {}
        for _ in range(4):  # stacked devices can only be removed from the top
            for name in [name for name in self._numbers if name not in self._loops]:
                for verb in ("resume", "remove"):
                    command = ["dmsetup", verb, "--manglename", "none", name]
                    subprocess.run(command, capture_output=True, check=False)
            self._note_numbers()
            if self._numbers.keys() <= self._loops.keys():
                break
        subprocess.run(["dmsetup", "remove_all"], check=True)  # devices that never had a table
        for path in self._loops.values():
            subprocess.run(["losetup", "--detach", path], check=True)
        self._loops = {}


def _marked(mark: str, text: str) -> Iterator[str]:
    r"""Yield the lines of *text*, each with *mark*; ``\`` follows if the last line has no newline."""
    for line in text.splitlines():
        yield f"{mark} {line}" if line else mark
    if text and not text.endswith("\n"):
        yield f"{mark}\\"


def _nodes() -> list[str]:
    return sorted(path.name for path in MAPPER.iterdir()) if MAPPER.is_dir() else []


def _kernel_major() -> int | None:
    """Return device-mapper's major number, or None if this kernel does not list it."""
    for line in Path("/proc/devices").read_text().splitlines():
        if line.split()[1:] == ["device-mapper"]:
            return int(line.split()[0])
    return None


def _device_mapper_major() -> int:
    """Return the kernel's major number, or that of loop devices, which the emulated devices are."""
    return _kernel_major() or 7


def _numbers_in_sysfs() -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield names and numbers from the kernel's own list, which needs no process."""
    for entry in Path("/sys/block").glob("dm-*"):
        with suppress(OSError):
            major, minor = (entry / "dev").read_text().strip().split(":")
            yield (entry / "dm/name").read_text().rstrip("\n"), (int(major), int(minor))


def _numbers_of_dmsetup() -> Iterator[tuple[str, tuple[int, int], bool]]:
    """Yield names and numbers from the dmsetup in PATH, and whether the device has no table.

    They are needed if the kernel has no device-mapper.
    """
    command = ["dmsetup", "info", "-c", "--manglename", "none", "--noheadings", "--separator", "/"]
    shown = subprocess.run(
        [*command, "-o", "tables_loaded,major,minor,name"], capture_output=True, text=True, check=False
    ).stdout
    for line in shown.splitlines():
        if line.count("/") >= 3:
            tables, major, minor, name = line.split("/", 3)
            yield name, (int(major), int(minor)), tables == "None"


def main() -> None:
    rewrite = sys.argv[1:2] == ["--rewrite"]
    directory, *files = sys.argv[2 if rewrite else 1 :] or [""]
    if not directory or not files:
        sys.exit(__doc__.split("\n\n")[1])
    os.environ["LC_ALL"] = "C"
    os.environ["DM_DISABLE_UDEV"] = "1"
    # The list of target types begins with the last one used, so this fixes its order.
    for words in (["create", "first", "--table", "0 1 zero"], ["remove", "first"]):
        subprocess.run(["dmsetup", *words], check=True)
    for file in map(Path, files):
        text = Recorder(Path(directory).resolve()).record(file.read_text())
        if rewrite:
            file.write_text(text)
        else:
            sys.stdout.write(text)


if __name__ == "__main__":
    main()
