"""Shows tables on a narrow terminal: nothing is cut off, and no number is broken in two."""

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text


def uncut(table: Table) -> Table:
    """Return *table*, all rows of which are there, changed: words fold, right-aligned columns stay whole.

    On a terminal that is too narrow even for those, the lines are longer than it is wide.
    """
    for column in table.columns:
        column.overflow = "fold"
        if column.justify == "right":
            column.no_wrap = True
            column.min_width = max((_width(cell) for cell in column.cells), default=0)
    return table


def _width(cell: object) -> int:
    return cell.cell_len if isinstance(cell, Text) else cell_len(str(cell))
