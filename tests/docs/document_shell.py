"""A `DocumentShell` runs the commands of a document, and keeps the output and status of each."""

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
"""The time limit for all commands of a document together."""
_PLACES = re.compile(r"(?<![\w/])(?:/var/tmp/demo|/var/tmp/k612|/tmp/demo|/mnt/thin|/var/tmp)(?=$|[\s/;])")
"""Documents name these directories; each document's commands get their own in place of them."""


@dataclass(frozen=True, slots=True)
class Ran:
    """`Ran` is a command as shown and as run, with its output; *status* is None if it was not run."""

    shown: Shown
    line: str
    case: CommandCase
    status: int | None
    printed: str
    complaints: str

    @property
    def as_expected(self) -> bool:
        """Return whether the command exited as the document expects."""
        return self.status == self.case.status

    def __str__(self) -> str:
        said = f"{self.printed[-1000:]}\n{self.complaints[-1000:]}"
        page = page_name(self.shown.page)
        return f"{page}: {self.shown.text}\nrun as: {self.line}\nstatus {self.status}\n{said}"


@dataclass(slots=True)
class DocumentShell:
    """A `DocumentShell` has an environment, and a directory with ``.venv/bin`` as in a clone."""

    directory: Path
    environment: dict[str, str]

    def run(self, shown: Sequence[Shown], stage: PageStage, seconds: float = SECONDS) -> list[Ran]:
        """Run commands in order until one exits with a wrong status.

        ValueError for an unknown placeholder.
        """
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
                f"the lines around the commands failed: {_last(records)} {said.read_text()[-2000:]}"
            )
        return ran

    def _checked(self, name: str, text: str, records: Path) -> list[str]:
        """Return the lines of *text* in a form that stops at the first failure."""
        if not text:
            return []
        begin = f"set -e; exec 3> {records}/{name}"
        return [begin, "{", self._moved(text), "} >&3 2>&3", "exec 3>&-; set +e"]

    def _moved(self, text: str) -> str:
        """Return *text* with its directories moved below the shell's, so that no foreign mount is used."""
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
    """Yield a shell for one document, and clean up after a failed command."""
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
        _release(directory, environment)
        shutil.rmtree(runtime)


def assert_runs(
    shown: Sequence[Shown], stage: PageStage, image: Path, directory: Path, seconds: float = SECONDS
) -> None:
    """Run a document's commands: each must exit and print as the document shows."""
    with document_shell(directory, image) as shell:
        for ran in shell.run(shown, stage, seconds):
            assert ran.as_expected, str(ran)
            lacks = missing(ran.shown.output, ran.printed.splitlines())
            assert lacks is None, f"{ran}\nis not like what is shown:\n{lacks}"


def filled(text: str, stage: PageStage) -> str:
    """Return a command line with the words of its case and its page for the placeholders.

    If there are words to choose from, as in ``--rig auto|emulated``, the first is used.
    """
    case = case_of(stage, text)
    fill = {**stage.fill, **case.fill}

    def word(match: re.Match[str]) -> str:
        name = match[1]
        if name not in fill:
            raise ValueError(f"{text!r}: give {name} a value in the page's stage")
        return fill[name]

    for shown, smaller in case.instead.items():
        text = text.replace(shown, smaller)
    chosen = re.sub(r"(?<=\s)(\w+)(?:\|\w+)+", r"\1", text)
    return re.sub(r"(?<![\w$./-])\[?([A-Z][A-Z_]{2,})\b(?!=)(?:\.\.\.|\])*", word, chosen)


def _run(line: str, shown: Shown, case: CommandCase, record: Path) -> list[str]:
    """Return the lines that run a command; a session's two outputs are mixed as at a terminal."""
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
    """Return the output of the last line around the commands."""
    said = [path for path in records.iterdir() if "." not in path.name]
    newest = max(said, key=lambda path: path.stat().st_mtime_ns, default=None)
    return f"{newest.name}: {newest.read_text()[-1000:]}" if newest else ""


def _release(directory: Path, environment: dict[str, str]) -> None:
    """Unmount and detach everything below *directory* that the commands of a failed document left."""
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
