"""``python -m tools.hosts_page`` writes docs/evidence/hosts.md from the measurement that is kept.

``--measure`` first measures every host file system again, as root, and keeps the figures. ``--host KIND``
measures only that kind, prints its figures, and keeps nothing.
"""

import argparse
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.host_file_systems import KINDS
from tools.evidence_pages import DATA, EVIDENCE, Measured, filled, measured_now, table
from tools.hosts_measuring import measure

NAME = "hosts"
KEPT = DATA / f"{NAME}.json"
COMMAND = "make hosts-page MEASURE=all"

_Host = Mapping[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure every host again")
    parser.add_argument("--host", choices=KINDS, help="measure only this kind, and print its figures")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends what is mounted and removes it
    if arguments.host:
        for found in measure([arguments.host]):
            print(json.dumps(found, indent=1))
        return
    if arguments.measure:
        measured_now(COMMAND, list(measure())).write(KEPT)
    (EVIDENCE / f"{NAME}.md").write_text(page(Measured.read(KEPT)))


def page(kept: Measured) -> str:
    """Return the text of the page."""
    hosts = [each for each in kept.document if "punches" in each]
    return filled(
        NAME,
        {
            "ledger": f"{_ledger(hosts)}\n\n{kept.origin()}",
            "calls": _calls(hosts),
            "words": "\n".join(_words(kept.document)),
        },
    )


def _ledger(hosts: Sequence[_Host]) -> str:
    """Return the table of the freed bytes."""
    rows = []
    for host in hosts:
        punches = [_pair(*each) for each in host["punches"]]
        rows.append((host["host"], *punches, _pair(*host["release"]), _yes(host["exact"])))
    return table(("host", "every second MiB", "every second block", "the rest", "removal", "measured"), rows)


def _calls(hosts: Sequence[_Host]) -> str:
    """Return the table of what each host supports."""
    head = (
        *("host", "unit", "punches in C", "passthrough", "handles", "allocation", "zero range"),
        *("overwrites free", "clone", "O_TMPFILE", "copy"),
    )
    rows = [
        (
            host["host"],
            str(host["unit"]),
            _yes(host["natively"]),
            _yes(host["passthrough"] is True),
            _yes(host["handles"]),
            host["allocate"],
            host["zero"],
            _yes(host["overwrites_move"]),
            _of_host_and_store(host["clone"]),
            _of_host_and_store(host["tmpfile"]),
            host["copy"],
        )
        for host in hosts
    ]
    return table(head, rows)


def _words(hosts: Sequence[_Host]) -> Iterator[str]:
    """Yield an item of a list per host of which the mount prints or refuses something."""
    for host in hosts:
        lines = [f"refused: {host['refused']}"] if "refused" in host else []
        lines += [f"not measured, {host['missing']}"] if "missing" in host else []
        for line in (*lines, *host.get("printed", ())):
            yield f"- **{host['host']}**: {line.removeprefix('MOUNTPOINT: ')}"


def _pair(ledger: int, host: int) -> str:
    return str(ledger) if ledger == host else f"{ledger} ({host})"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _of_host_and_store(outcomes: Sequence[str]) -> str:
    return " / ".join(outcomes)


if __name__ == "__main__":
    main()
