"""`print_results` prints the figures of contenders that took turns, with their ratios and intervals."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from thinsim.benchmark.intervals import Interval, median_interval
from thinsim.benchmark.rounds import FigureRow, Measurements


def ratio_interval(result: Measurements, row: FigureRow, contender: str, reference: str) -> Interval | None:
    """Return the median ratio of the turns with its interval, or None if either can't do the row."""
    if result.median(row, contender) is None or result.median(row, reference) is None:
        return None
    return median_interval(result.ratios(row, contender, reference))


def print_results(
    result: Measurements, plain: str, around: Mapping[str, object], cut_short: str | None
) -> None:
    """Print a table with a line per row, then what could not be measured, and the machine."""
    console = console_for_results()
    title = f"median figure, and median ratio to the {plain} with its interval of 95 %"
    table = Table(box=None, title=title, title_justify="left")
    table.add_column("row")
    table.add_column("unit")
    for contender in result.contenders:
        table.add_column(contender, justify="right")
    for row in (row for row in result.rows if result.figures.get((row.name, plain))):
        cells = []
        for contender in result.contenders:
            median, ratio = result.median(row, contender), ratio_interval(result, row, contender, plain)
            if median is None or ratio is None:
                cells.append("-")
            else:
                cells.append(short(median) if contender == plain else f"{short(median)}  {in_words(ratio)}")
        table.add_row(row.name, row.unit, *cells)
    console.print(table)
    for (row_name, contender), reason in result.reasons.items():
        console.print(f"- {contender}, {row_name}: {reason}", highlight=False, markup=False)
    if cut_short is not None:
        console.print(f"cut short: {cut_short}", highlight=False, markup=False)
    console.print(", ".join(f"{key} {value}" for key, value in around.items()), highlight=False)


def console_for_results() -> Console:
    """Return a console for tables that is wide enough in a log."""
    return Console(width=None if Console().is_terminal else 200)


def in_words(ratio: Interval) -> str:
    """Return ``0.82 (0.78 to 0.85)``."""
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def short(figure: float) -> str:
    """Return the figure with three significant digits or more."""
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"
