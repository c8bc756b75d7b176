"""Runs a document's commands in one shell, each with its output and status apart."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fuse_backing.mounts import FSTYPE, mounts, unmount
from tests.docs.document_stages import case_of
from tests.docs.documented_commands import Shown, page_name
from tests.docs.own_session import run_in_session
from tests.docs.shown_output import missing
from tests.docs.stage_kinds import CommandCase, PageStage
from tests.repository import REPOSITORY
from thinsim.block.loop import attached_devices, detach, devices_of_file

SECONDS = 300.0
"""For a document's commands together."""
_PLACES = re.compile(r"(?<![\w/])(?:/var/tmp/demo|/var/tmp/k612|/tmp/demo|/mnt/thin|/var/tmp)(?=$|[\s/;])")
"""Directories that documents name; each document's commands get their own in their place."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command as it is shown and as it was run, and what came of it; *status* None: it was not run."""

    shown: Shown
    line: str
    case: CommandCase
    status: int | None
    printed: str
    complaints: str

    @property
    def as_expected(self) -> bool:
        """Whether it exited as the document means."""
        return self.status == self.case.status

    def __str__(self) -> str:
        said = f"{self.printed[-1000:]}\n{self.complaints[-1000:]}"
        page = page_name(self.shown.page)
        return f"{page}: {self.shown.text}\nrun as: {self.line}\nstatus {self.status}\n{said}"


@dataclass(slots=True)
class DocumentShell:
    """A directory with the programs below ``.venv/bin``, as in a clone, and an environment of its own."""

    directory: Path
    environment: dict[str, str]

    def run(self, shown: Sequence[Shown], stage: PageStage, seconds: float = SECONDS) -> list[Ran]:
        """Run commands in order until one does not exit as it should; ValueError for a word to fill in."""
        lines = [
            (each, text if each.session else filled(text, stage), case_of(stage, text))
            for each in shown
            for text in each.alternatives()
        ]
        records = self.directory / "records"
        records.mkdir()
        script = ["trap '[ -z \"$SERVICE\" ] || kill $SERVICE 2> /dev/null' EXIT"]
        script += self._checked("prepare", stage.prepare, records)
        for number, (each, line, case) in enumerate(lines):
            moved = self._moved(f"{line} {case.more}".rstrip())
            script += self._checked(f"before-{number}", case.before, records)
            script += _run(moved, each, case, records / str(number))
            script += self._checked(f"after-{number}", case.after, records)
            if case.service:
                script.append(f"kill $SERVICE; wait $SERVICE; echo $? > {records}/{number}.status")
        script += self._checked("finish", stage.finish, records)
        script.append(f"touch {records}/finished")
        said = self.directory / "said"
        with said.open("w") as into:
            words = ["bash", "-c", "\n".join(script)]
            status = run_in_session(words, self._work(), self.environment, into, seconds)
        ran = [
            _read(each, line, case, records / str(number)) for number, (each, line, case) in enumerate(lines)
        ]
        if status is None:
            late = next((str(each) for each in ran if each.status is None), _last(records))
            raise AssertionError(f"did not end within {seconds:g} s, and is ended: {late}")
        if all(each.as_expected for each in ran) and not (records / "finished").exists():
            raise AssertionError(
                f"what stands around the commands failed: {_last(records)} {said.read_text()[-2000:]}"
            )
        return ran

    def _checked(self, name: str, text: str, records: Path) -> list[str]:
        """Return lines that stop at the first of *text* that fails."""
        if not text:
            return []
        begin = f"set -e; exec 3> {records}/{name}"
        return [begin, "{", self._moved(text), "} >&3 2>&3", "exec 3>&-; set +e"]

    def _moved(self, text: str) -> str:
        """Return *text* with the places that it names below the shell's directory, on no mount of others."""
        return _PLACES.sub(lambda place: f"{self.directory}/{Path(place[0]).name}", text)

    def _work(self) -> Path:
        work = self.directory / "work"
        work.mkdir()
        (work / ".venv").mkdir()
        (work / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
        (self.directory / "tmp").mkdir()
        return work


@contextmanager
def document_shell(directory: Path, image: Path) -> Iterator[DocumentShell]:
    """Yield a shell for one document; what a command that failed has left is given back."""
    runtime = Path(tempfile.mkdtemp(prefix="thinsim-test-", dir="/run"))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "THINSIM_RUNTIME_DIR": str(runtime),
        "THINSIM_STATE_DIR": str(directory / "state"),
        "DM_DISABLE_UDEV": "1",
        "LC_ALL": "C.UTF-8",
        "IMAGE": str(image),
        "CLONE": str(REPOSITORY),
    }
    try:
        yield DocumentShell(directory, environment)
    finally:
        _give_back(directory, environment)
        shutil.rmtree(runtime)


def assert_runs(
    shown: Sequence[Shown], stage: PageStage, image: Path, directory: Path, seconds: float = SECONDS
) -> None:
    """Run a document's commands: each must exit as it should and print the like of what is shown."""
    with document_shell(directory, image) as shell:
        for ran in shell.run(shown, stage, seconds):
            assert ran.as_expected, str(ran)
            lacks = missing(ran.shown.output, ran.printed.splitlines())
            assert lacks is None, f"{ran}\nis not like what is shown:\n{lacks}"


def filled(text: str, stage: PageStage) -> str:
    """Return a command line with the words of its case and its page for the placeholders.

    Of words to choose from, as in ``--rig auto|emulated``, it is the first.
    """
    case = case_of(stage, text)
    fill = {**stage.fill, **case.fill}

    def word(match: re.Match[str]) -> str:
        name = match[1]
        if name not in fill:
            raise ValueError(f"{text!r}: say in document_stages.py what {name} is")
        return fill[name]

    for shown, smaller in case.instead.items():
        text = text.replace(shown, smaller)
    chosen = re.sub(r"(?<=\s)(\w+)(?:\|\w+)+", r"\1", text)
    return re.sub(r"(?<![\w$./-])\[?([A-Z][A-Z_]{2,})\b(?!=)(?:\.\.\.|\])*", word, chosen)


def _run(line: str, shown: Shown, case: CommandCase, record: Path) -> list[str]:
    """Return the lines that run a command; of a session its two outputs come as they would at a terminal."""
    into = f"> {record}.out 2> {record}.err" if not shown.session else f"> {record}.out 2>&1"
    if case.service:
        return [f"{line} {into} &", "SERVICE=$!"]
    return [
        "{",
        line,
        f"}} {into}",
        f"status=$?; echo $status > {record}.status",
        f"[ $status = {case.status} ] || exit",
    ]


def _read(shown: Shown, line: str, case: CommandCase, record: Path) -> Ran:
    def text(kind: str) -> str:
        path = record.with_suffix(f".{kind}")
        return path.read_text(errors="replace") if path.exists() else ""

    status = text("status").strip()
    return Ran(shown, line, case, int(status) if status else None, text("out"), text("err"))


def _last(records: Path) -> str:
    """Return what the last of the lines around the commands said."""
    said = [path for path in records.iterdir() if "." not in path.name]
    newest = max(said, key=lambda path: path.stat().st_mtime_ns, default=None)
    return f"{newest.name}: {newest.read_text()[-1000:]}" if newest else ""


def _give_back(directory: Path, environment: dict[str, str]) -> None:
    """End what a document left that failed half-way: what is mounted or attached below *directory* alone."""
    for mount in reversed(mounts()):
        if mount.mountpoint.is_relative_to(directory) and mount.fstype != FSTYPE:
            unmount(mount.mountpoint, lazy=True)
    subprocess.run(["thinsim", "dm", "stop", "--force"], check=False, env=environment)
    for file in attached_devices().values():
        if Path(file).is_relative_to(directory):
            for device in devices_of_file(Path(file)):
                detach(device)
    for mount in reversed(mounts()):
        if mount.mountpoint.is_relative_to(directory):
            subprocess.run(["fuse-backing", "unmount", mount.mountpoint], check=False, env=environment)
