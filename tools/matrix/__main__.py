"""``python -m tools.matrix`` runs the steps on each system, and writes docs/evidence/matrix.md.

It needs root, debootstrap and the network. It keeps fresh systems in ``.matrix``, and the output of each
step in ``.matrix/logs``. Without ``--measure`` it only writes the page from the results that are kept. It
ends with status 1 if a step fails.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools import evidence_pages
from tools.evidence_pages import Measured, filled, measured_now, table
from tools.matrix.steps import STEPS, MatrixStep
from tools.matrix.system_root import CLONE, REPOSITORY, SystemRoot, base_of, copied
from tools.matrix.systems import SYSTEMS, MatrixSystem

NAME = "matrix"
COMMAND = "make matrix"
PLACE = REPOSITORY / ".matrix"

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
    kept = evidence_pages.DATA / f"{NAME}.json"
    failed = False
    if arguments.measure:
        steps = [STEPS[name] for name in arguments.step or STEPS]
        rows = [measured(SYSTEMS[name], steps) for name in arguments.system or SYSTEMS]
        failed = any(step["status"] for row in rows for step in row["steps"])
        if not arguments.no_page:
            measured_now(COMMAND, rows).write(kept)
    if not arguments.no_page:
        (evidence_pages.EVIDENCE / f"{NAME}.md").write_text(page(Measured.read(kept)))
    return int(failed)


def measured(system: MatrixSystem, steps: Sequence[MatrixStep]) -> Mapping[str, Any]:
    """Run *steps* one after another in a copy of a fresh system, and return the results."""
    logs = PLACE / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{system.suite}.log"
    log.unlink(missing_ok=True)
    _note(f"{system.suite}: making the system")
    base = base_of(system.suite, PLACE / "fresh", log)
    found = []
    with copied(base, PLACE / f"{system.suite}-{int(time.time())}") as root:
        root.run(["apt-get", "-qq", "update"], log, seconds=600)
        for step in steps:
            _note(f"{system.suite}: {step.title}")
            found.append(_run(root, system, step, logs / f"{system.suite}-{_word(step)}.log"))
            _note(f"{system.suite}: {step.title}: {found[-1]['result']} ({found[-1]['seconds']} s)")
        versions = {name: root.answer(command) for name, command in _VERSIONS.items()}
    return {"suite": system.suite, "versions": versions, "steps": found}


def _run(root: SystemRoot, system: MatrixSystem, step: MatrixStep, log: Path) -> Mapping[str, Any]:
    log.unlink(missing_ok=True)
    began = time.monotonic()
    script = f"set -e\n{step.script_for(system)}"
    status = root.run(["sh", "-c", script], log, tmpfs=step.tmpfs, directory=CLONE, seconds=step.seconds)
    output = log.read_text(errors="replace")
    results = [match[0].strip("= ") for match in step.result.finditer(output)]
    return {
        "title": step.title,
        "status": status,
        "seconds": round(time.monotonic() - began),
        "result": "; ".join(results) if status == 0 and results else _failure(status, results, output),
    }


def _failure(status: int, results: Sequence[str], output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = results[-1] if results else lines[-1][:100] if lines else "no output"
    return f"{'the time limit' if status == 124 else f'status {status}'}: {last}"


def page(kept: Measured) -> str:
    """Return the text of the page."""
    rows: Sequence[Mapping[str, Any]] = kept.document
    systems = [[row["suite"], *row["versions"].values()] for row in rows]
    titles = list(dict.fromkeys(step["title"] for row in rows for step in row["steps"]))
    results = [
        [row["suite"], step["title"], step["result"].replace("|", " "), f"{step['seconds']} s"]
        for title in titles
        for row in rows
        for step in row["steps"]
        if step["title"] == title
    ]
    head = ["suite", *(rows[0]["versions"] if rows else ())]
    return filled(
        NAME,
        {
            "systems": table(head, systems),
            "results": f"{table(['suite', 'step', 'result', 'time'], results)}\n\n{kept.origin()}",
        },
    )


def _word(step: MatrixStep) -> str:
    return next(name for name, each in STEPS.items() if each is step).replace(" ", "-")


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd[:3]))} failed: see {PLACE / 'logs'}")
