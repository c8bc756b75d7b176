"""``python -m tools.matrix`` runs the steps on each system, and writes docs/evidence/matrix.md.

It needs root, debootstrap and the network. It keeps fresh systems in ``.matrix``, and the output of each
step in ``.matrix/logs``. A run with ``--system`` or ``--step`` replaces only its own results in the kept
document. Without ``--measure`` it only writes the page from the results that are kept. It ends with status 1
if a step fails.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tools import evidence_pages
from tools.evidence_pages import Measured
from tools.matrix.page import NAME, page
from tools.matrix.results import MatrixResult, merged
from tools.matrix.steps import STEPS
from tools.matrix.system_root import CLONE, REPOSITORY, SystemRoot, base_of, copied
from tools.matrix.systems import SYSTEMS, MatrixSystem

COMMAND = "make matrix"
PLACE = REPOSITORY / ".matrix"
KEPT = evidence_pages.DATA / f"{NAME}.json"

_VERSIONS: Mapping[str, Sequence[str]] = {
    "system": ("sh", "-c", '. /etc/os-release; echo "$PRETTY_NAME"'),
    "Python": ("python3", "-c", "import platform; print(platform.python_version())"),
    "libfuse": ("dpkg-query", "-W", "-f", "${Version}", "fuse3"),
    "dmsetup": ("dpkg-query", "-W", "-f", "${Version}", "dmsetup"),
    "thin-provisioning-tools": ("dpkg-query", "-W", "-f", "${Version}", "thin-provisioning-tools"),
    "containerd": ("dpkg-query", "-W", "-f", "${Version}", "containerd"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--system", action="append", choices=SYSTEMS, help="may be repeated; default: all")
    parser.add_argument("--step", action="append", choices=STEPS, help="may be repeated; default: all")
    parser.add_argument("--no-page", action="store_true", help="only run the steps")
    arguments = parser.parse_args()
    failed = False
    if arguments.measure:
        for name in arguments.system or SYSTEMS:
            for result in measured(SYSTEMS[name], arguments.step or tuple(STEPS)):
                failed |= result.status != 0
                if not arguments.no_page:
                    keep(result)
    if not arguments.no_page:
        write_page()
    return int(failed)


def write_page() -> None:
    """Write the page from the kept results."""
    (evidence_pages.EVIDENCE / f"{NAME}.md").write_text(page(Measured.read(KEPT)))


def keep(result: MatrixResult) -> None:
    """Replace the result of this system and step in the kept document and on the page."""
    kept = Measured.read(KEPT).document if KEPT.exists() else []
    rows = merged(kept, result, tuple(SYSTEMS), tuple(STEPS))
    evidence_pages.measured_now(COMMAND, rows).write(KEPT)
    write_page()


def measured(system: MatrixSystem, steps: Sequence[str]) -> Iterator[MatrixResult]:
    """Run *steps* one after another in a copy of a fresh system, and yield each result."""
    logs = PLACE / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{system.suite}.log"
    log.unlink(missing_ok=True)
    _note(f"{system.suite}: making the system")
    base = base_of(system.suite, PLACE / "fresh", log)
    with copied(base, PLACE / f"{system.suite}-{int(time.time())}") as root:
        root.run(["apt-get", "-qq", "update"], log, seconds=600)
        for name in steps:
            step = STEPS[name]
            if not step.sets_up:
                root.run(["make", "setup"], log, directory=CLONE, seconds=1200)
            _note(f"{system.suite}: {step.title}")
            result = _run(root, system, name, logs / f"{system.suite}-{name.replace(' ', '-')}.log")
            _note(f"{system.suite}: {step.title}: {result.result} ({result.seconds} s)")
            yield result


def _run(root: SystemRoot, system: MatrixSystem, name: str, log: Path) -> MatrixResult:
    step = STEPS[name]
    log.unlink(missing_ok=True)
    began = time.monotonic()
    script = f"set -e\n{step.script_for(system)}"
    status = root.run(["sh", "-c", script], log, tmpfs=step.tmpfs, directory=CLONE, seconds=step.seconds)
    output = log.read_text(errors="replace")
    results = [" ".join(match[0].strip("= ").split()) for match in step.result.finditer(output)]
    return MatrixResult(
        suite=system.suite,
        step=name,
        status=status,
        result="; ".join(results) if status == 0 and results else _failure(status, results, output),
        seconds=round(time.monotonic() - began),
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        commit=root.commit(),
        versions={name: root.answer(command) for name, command in _VERSIONS.items()},
    )


def _failure(status: int, results: Sequence[str], output: str) -> str:
    lines = [line.strip()[:200] for line in output.splitlines() if line.strip()]
    last = [line for line in lines[-1:] if " ".join(line.strip("= ").split()) not in results]
    cause = "the time limit" if status == 124 else f"status {status}"
    return f"{cause}: {'; '.join([*results, *last]) or 'no output'}"


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends the systems and removes them
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; the results until then are kept")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd[:3]))} failed: see {PLACE / 'logs'}")
