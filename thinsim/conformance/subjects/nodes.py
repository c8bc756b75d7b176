"""`NodesPlayer` runs a history on the device-mapper behind a ``dmsetup`` and records every answer.

The loop devices use files on tmpfs, which allocates pages at once and exactly. So the allocation on the host
can be compared page by page. The same code runs on the kernel's dm-thin and, through the drop-in dmsetup, on
the emulated one.
"""

import os
import re
import select
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from thinsim.block import kernel_view, loop
from thinsim.conformance.answers.answer import HELD, WAITS, Answer, Ending, Recording, Seen
from thinsim.conformance.histories.history import (
    OTHER_KIB,
    BlockRequest,
    Discard,
    Dmsetup,
    Flush,
    Grow,
    History,
    HistoryOperation,
    Look,
    Program,
    QueueLimits,
    Read,
    Write,
)
from thinsim.conformance.histories.suspended import Suspended
from thinsim.conformance.requests import kinds, node_io, programs
from thinsim.conformance.subjects import control
from thinsim.dm.names import MAPPER
from thinsim.errors import EnvironmentLacksError, ProgramFailedError
from thinsim.machine.journal import Journal, TakenKind
from thinsim.thin.metadata.dump_reading import lines_of_0_9

_REQUEST_SECONDS = 15.0
_SETTLE_SECONDS = 2.0
_TOOL_SECONDS = 60.0
_PROGRAM_SECONDS = 150.0
_INFO = ("info", "-c", "--noheadings", "--separator", "/", "-o", "name,attr,segments,events")
_ROUNDS = 6


class NodesPlayer:
    """A `NodesPlayer` runs one history at a time, with the files in *directory*.

    The PATH of *environment* finds the dmsetup to use. *kernel* is true if that dmsetup uses this kernel.
    """

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        journal: Journal,
        source: str,
        *,
        kernel: bool = False,
    ) -> None:
        self.kernel = kernel
        self._directory = directory
        self._environment = {**environment, "LC_ALL": "C"}
        self._journal = journal
        self._source = source
        # Several players may run on this machine, so each one uses its own names.
        self.prefix = f"conformance-{os.getpid()}-"
        self.step, self.step_begun = "", time.monotonic()
        """The step in progress, and the time when it began."""
        self._out, self._err = (os.memfd_create(name) for name in ("output", "complaints"))

    def record(self, history: History) -> Recording:
        """Run *history* on new devices, and remove them at the end."""
        with self._loops(history) as loops:
            run = _Run(self, loops)
            answers = []
            try:
                for number, operation in enumerate(history.operations):
                    self._begin(f"operation {number}, {operation}")
                    answers.append(run.answer(operation))
            finally:
                self._begin("the removal of its devices")
                run.remove_all()
            self._begin("the look at its metadata")
            return Recording(history, self._source, tuple(answers), self._ending(loops["metadata"]))

    def _begin(self, step: str) -> None:
        """Record the step in progress; a watchdog reports it if the step never ends."""
        self.step, self.step_begun = step, time.monotonic()

    def tool(self, name: str, *words: str) -> tuple[int, str, str]:
        """Run a program; return its exit status (``WAITS`` if it does not end), stdout and stderr."""
        program = shutil.which(name, path=self._environment["PATH"])
        if program is None:
            raise EnvironmentLacksError(f"{name} is not in PATH (make setup, make test)")
        for fd in (self._out, self._err):
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
        # In an emulated guest subprocess takes a tenth of a second; posix_spawn takes half of that.
        pid = os.posix_spawn(
            program,
            [name, *words],
            self._environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, self._out, 1),
                (os.POSIX_SPAWN_DUP2, self._err, 2),
            ],
        )
        ended = os.pidfd_open(pid)
        try:
            if not select.select([ended], [], [], _TOOL_SECONDS)[0]:
                signal.pidfd_send_signal(ended, signal.SIGKILL)
                return WAITS, "", ""
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        finally:
            os.close(ended)
        out, err = (os.pread(fd, os.fstat(fd).st_size, 0).decode() for fd in (self._out, self._err))
        return status, out, err

    @contextmanager
    def _loops(self, history: History) -> Iterator[dict[str, loop.LoopDevice]]:
        sizes = {"data": history.data_kib, "metadata": history.metadata_kib, "other": OTHER_KIB}
        found: dict[str, loop.LoopDevice] = {}
        entries = {}
        try:
            for role, kib in sizes.items():
                file = self.file(role)
                file.unlink(missing_ok=True)
                with file.open("xb") as made:
                    made.truncate(kib << 10)
                entries[role] = self._journal.begin(TakenKind.LOOP, file=file)
                found[role] = loop.attach(file, block_size=history.logical_block)
                self._journal.amend(entries[role], **asdict(found[role]))
            yield found
        finally:
            for role, device in found.items():
                loop.detach(device)
                self._journal.end(entries[role])
                self.file(role).unlink()

    def file(self, role: str) -> Path:
        """Return the file of the loop device *role*."""
        return self._directory / role

    def _ending(self, metadata: loop.LoopDevice) -> Ending:
        check, _, _ = self.tool("thin_check", str(metadata.path))
        status, dump, _ = self.tool("thin_dump", str(metadata.path))
        return Ending(check, lines_of_0_9(dump) if status == 0 else "")


class _Run:
    """A `_Run` is one history in progress, with its suspended devices and its requests that wait."""

    def __init__(self, player: NodesPlayer, loops: dict[str, loop.LoopDevice]) -> None:
        self._player = player
        self._prefix = player.prefix
        self._loops = loops
        self._suspended = Suspended()
        self._devices: dict[str, str] = {}
        self._waiting: list[threading.Thread] = []
        self._discarded = kernel_view.traffic(loops["data"].path)

    def answer(self, operation: HistoryOperation) -> Answer:
        status, text, seen = (HELD, "", None) if self._suspended.holds(operation) else self._act(operation)
        for thread in self._waiting:
            thread.join(_SETTLE_SECONDS)
        self._waiting = [thread for thread in self._waiting if thread.is_alive()]
        traffic = kernel_view.traffic(self._loops["data"].path)
        discards = (
            traffic.discards - self._discarded.discards,
            traffic.discarded_bytes - self._discarded.discarded_bytes,
        )
        self._devices = self._lines("status")
        return Answer(status, text, self._devices, discards, seen)

    def remove_all(self) -> None:
        """Remove every device, upper ones first; ProgramFailedError names those that cannot be removed."""
        for _ in range(_ROUNDS):
            for name in self._suspended.below_first:
                self._ask_dmsetup(("resume", f"{{{name}}}"))
            names = list(self._lines("status"))
            if not names:
                return
            for name in reversed(names):
                if self._waiting:
                    self._fail_held_writes(name)
                self._dmsetup("remove", f"{self._prefix}{name}")
        raise ProgramFailedError(
            f"cannot remove the devices of the history: {', '.join(self._lines('status'))}"
        )

    def _act(self, operation: HistoryOperation) -> tuple[int, str, Seen | None]:
        match operation:
            case Dmsetup(words):
                return *self._ask_dmsetup(words), None
            case Write(device, offset, length, tag):
                return self._request(lambda node: node_io.write(node, offset, length, tag), device), "", None
            case Discard(device, offset, length):
                return self._request(lambda node: node_io.discard(node, offset, length), device), "", None
            case Flush(device):
                return self._request(node_io.flush, device), "", None
            case BlockRequest(device, kind, offset, length, tag):
                return *self._asked(lambda node: kinds.send(node, kind, offset, length, tag), device), None
            case QueueLimits(device):
                return 0, kinds.limits(self._node(device)), None
            case Program(name, device):
                run = partial(programs.run_program, name, tool=self._player.tool)
                return *self._asked(run, device, _PROGRAM_SECONDS), None
            case Read(device, offset, length):
                return *self._asked(lambda node: node_io.read(node, offset, length), device), None
            case Grow(role, kib):
                file = self._player.file(role)
                os.truncate(file, kib << 10)
                loop.refresh(self._loops[role], file, read_only=False)
                return 0, "", None
            case Look():
                return 0, "", self._look()

    def _ask_dmsetup(self, words: tuple[str, ...]) -> tuple[int, str]:
        real = tuple(self._real(word) for word in words)
        status, out, err = self._dmsetup(*real)
        if status == 0:
            self._suspended.note(words, self._devices)
        return status, self._named(_without_udev(out + err))

    def _asked(
        self, act: Callable[[Path], tuple[int, str]], device: str, seconds: float = _REQUEST_SECONDS
    ) -> tuple[int, str]:
        """Send a request that returns a text with its errno."""
        texts: list[str] = []

        def request(node: Path) -> int:
            status, text = act(node)
            texts.append(text)
            return status

        status = self._request(request, device, seconds)
        return status, "".join(texts) if status != WAITS else ""

    def _request(self, act: Callable[[Path], int], device: str, seconds: float = _REQUEST_SECONDS) -> int:
        statuses: list[int] = []
        failures: list[EnvironmentLacksError] = []
        node = self._node(device)

        def request() -> None:
            try:
                statuses.append(act(node))
            except EnvironmentLacksError as error:
                failures.append(error)

        thread = threading.Thread(target=request, daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            self._waiting.append(thread)
            return WAITS
        for failure in failures:
            raise failure
        return statuses[0]

    def _look(self) -> Seen:
        lines = self._lines("status")
        thins = [name for name, line in lines.items() if line.split()[2] == "thin"]
        held = bool(self._suspended or self._waiting)
        _, out, _ = self._dmsetup(*_INFO)
        infos = {}
        for line in out.splitlines():
            name, _, rest = line.partition("/")
            if name.startswith(self._prefix):
                infos[name.removeprefix(self._prefix)] = rest
        return Seen(
            contents={} if held else {name: node_io.contents(self._node(name)) for name in sorted(thins)},
            tables=self._lines("table"),
            infos=dict(sorted(infos.items())),
            host=node_io.allocated_pages(self._player.file("data")),
        )

    def _lines(self, verb: str) -> dict[str, str]:
        """Return the output of ``dmsetup status`` or ``table`` by device, one text for all its targets."""
        ask = self._kernel_lines if self._player.kernel else self._dmsetup_lines
        found: dict[str, list[str]] = {}
        for name, line in ask(verb):
            if name.startswith(self._prefix):
                found.setdefault(name.removeprefix(self._prefix), []).append(self._named(line))
        return {name: "\n".join(found[name]) for name in sorted(found)}

    def _kernel_lines(self, verb: str) -> Iterator[tuple[str, str]]:
        for name in control.device_names():
            for line in control.status_lines(
                name, table=verb == "table", noflush=not self._suspended.pools_may_commit
            ):
                yield name, line

    def _dmsetup_lines(self, verb: str) -> Iterator[tuple[str, str]]:
        _, out, _ = self._dmsetup(verb, *(() if self._suspended.pools_may_commit else ("--noflush",)))
        for line in out.splitlines():
            name, colon, rest = line.partition(": ")
            if colon:
                yield name, rest

    def _dmsetup(self, *words: str) -> tuple[int, str, str]:
        return self._player.tool("dmsetup", *words)

    def _node(self, device: str) -> Path:
        found = self._loops.get(device)
        return MAPPER / f"{self._prefix}{device}" if found is None else found.path

    def _real(self, word: str) -> str:
        def path_or_name(match: re.Match[str]) -> str:
            device = self._loops.get(match[1])
            return f"{self._prefix}{match[1]}" if device is None else str(device.path)

        return re.sub(r"\{(\w+)\}", path_or_name, word)

    def _named(self, text: str) -> str:
        """Replace paths and device numbers by names."""
        for role, device in self._loops.items():
            text = re.sub(rf"{device.path}\b", f"{{{role}}}", text)
        if re.search(r"\b\d+:\d+\b", text):
            names = self._numbers()
            text = re.sub(r"\b\d+:\d+\b", lambda match: names.get(match[0], match[0]), text)
        return text.replace(self._prefix, "")

    def _numbers(self) -> dict[str, str]:
        nodes = {role: device.path for role, device in self._loops.items()}
        nodes.update({path.name.removeprefix(self._prefix): path for path in MAPPER.glob(f"{self._prefix}*")})
        found = {}
        for name, path in nodes.items():
            number = path.stat().st_rdev
            found[f"{os.major(number)}:{os.minor(number)}"] = f"{{{name}}}"
        return found

    def _fail_held_writes(self, pool: str) -> None:
        """Make a pool fail the writes that it holds for lack of space."""
        _, table, _ = self._dmsetup("table", f"{self._prefix}{pool}")
        words = table.split()
        if len(words) < 7 or words[2] != "thin-pool":
            return
        table = f"{' '.join(words[:7])} 1 error_if_no_space"
        self._dmsetup("load", f"{self._prefix}{pool}", "--table", table)
        self._dmsetup("suspend", "--noflush", f"{self._prefix}{pool}")
        self._dmsetup("resume", f"{self._prefix}{pool}")


def _without_udev(text: str) -> str:
    """Return *text* without libdm's lines about udev, which depend on the machine."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("Udev is running"))
