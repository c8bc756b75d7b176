"""``thinsim compare`` compares two results of ``thinsim bench``."""

from pathlib import Path

import click

from thinsim.benchmark.comparison import compare_benchmarks, json_schema
from thinsim.benchmark.document import Benchmark
from thinsim.benchmark.exports import comparison_markdown
from thinsim.benchmark.table import print_comparison
from thinsim.cli.benchmark_outputs import (
    drawing,
    file_option,
    least_effect_option,
    plot_option,
    schema_option,
    write_results,
)
from thinsim.cli.output_console import output_console
from thinsim.cli.output_path import refuse_to_overwrite
from thinsim.errors import InvalidValueError

_READ = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("first", metavar="A", type=_READ)
@click.argument("second", metavar="B", type=_READ)
@least_effect_option
@file_option("json", "the comparison as JSON")
@file_option("markdown", "the tables as Markdown")
@plot_option
@schema_option(json_schema)
def compare(
    first: Path,
    second: Path,
    least_effect: float,
    json_path: Path | None,
    markdown_path: Path | None,
    plot: Path | None,
) -> None:
    """Compare two results of thinsim bench.

    A and B are files that thinsim bench --json wrote, before and after a change. The table shows the ratio
    of B to A, a confidence interval that holds the true median, and a verdict.

    The verdict is better or worse only if the ratio differs from 1 by more than --least-effect, if its
    interval does not hold 1, and if chance does not explain the difference. The last condition takes into
    account that a table has many rows: of 100 comparisons of the same program with itself, one may have a
    false verdict. It needs five rounds of each run at least.

    Nothing counts as better or worse if the processors differ. If other programs kept the machine busy during
    one of the runs only, a verdict remains only for hole punches and for bytes written to the data device.

    The table also lists contenders and sizes that only one file has, and differences of the environment.
    """
    refuse_to_overwrite(first, second)
    draw = drawing(plot)
    found = compare_benchmarks(Benchmark.read(first), Benchmark.read(second), least_effect / 100)
    if not found.compared:
        each_has = "; ".join(
            f"only {path} has {' and '.join(only) or 'nothing'}"
            for path, only in ((first, found.only_first), (second, found.only_second))
        )
        raise InvalidValueError(f"{first} and {second} have no row, contender and size in common: {each_has}")
    write_results(
        [
            (json_path, lambda: found.model_dump_json(indent=1)),
            (markdown_path, lambda: comparison_markdown(found)),
        ],
        lambda: print_comparison(output_console(), found),
    )
    if draw is not None and plot is not None:
        draw(found.compared, f"{second} to {first}", plot)
