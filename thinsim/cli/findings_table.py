"""`findings_table` shows findings as a table: the requirement, its state and the fix."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from thinsim.machine.findings import Finding


def findings_table(findings: Iterable[Finding]) -> Table:
    """Return a table with one row per finding. A missing thing that no rig needs gets a dash, not *no*."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "fix", "for rig"):
        table.add_column(heading)
    for finding in findings:
        if finding.present:
            mark = Text("ok", "green")
        else:
            mark = Text("no", "red") if finding.needed_by else Text("-", "dim")
        table.add_row(mark, finding.name, finding.detail, finding.fix, ", ".join(finding.needed_by))
    return table
