"""`uncut` lets a table print on a narrow terminal without cutting off words or breaking numbers."""

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text


def uncut(table: Table) -> Table:
    """Change the complete *table* and return it: words fold, right-aligned columns stay whole.

    If the terminal is too narrow even for those columns, the lines are longer than it is wide.
    """
    for column in table.columns:
        column.overflow = "fold"
        if column.justify == "right":
            column.no_wrap = True
            column.min_width = max((_width(cell) for cell in column.cells), default=0)
    return table


def _width(cell: object) -> int:
    return cell.cell_len if isinstance(cell, Text) else cell_len(str(cell))
