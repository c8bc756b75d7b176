"""Shows findings as a table: what is there, what is not, and the fix."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from thinsim.machine.findings import Finding
from thinsim.report.uncut import uncut


def findings_table(findings: Iterable[Finding]) -> Table:
    """Return a row per finding; what no rig needs is a dash, not a lack."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "what", "found", "fix", "for rig"):
        table.add_column(heading)
    for finding in findings:
        if finding.present:
            mark = Text("ok", "green")
        else:
            mark = Text("no", "red") if finding.needed_by else Text("-", "dim")
        table.add_row(mark, finding.name, finding.detail, finding.fix, ", ".join(finding.needed_by))
    return uncut(table)
