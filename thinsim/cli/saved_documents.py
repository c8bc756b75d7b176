"""`OTHER_DOCUMENTS` lists the documents beside reports that ``thinsim report`` shows, by their kind."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thinsim.benchmark.comparison import Comparison
from thinsim.benchmark.document import Benchmark
from thinsim.benchmark.table import print_benchmark, print_comparison
from thinsim.errors import WrongDocumentError
from thinsim.regression.baseline import read_baseline
from thinsim.report.whole_words import WholeWords
from thinsim.units import format_size


@dataclass(frozen=True, slots=True)
class OtherDocument:
    """An `OtherDocument` is a kind of document; *show* reads a file and prints its table."""

    title: str
    """The kind in words."""
    show: Callable[[Console, Path], None]


def kind_of(text: str) -> str | None:
    """Return the kind that a JSON document states, or None if it states none."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    kind = document.get("kind") if isinstance(document, dict) else None
    return kind if isinstance(kind, str) else None


def _show_benchmark(console: Console, path: Path) -> None:
    document = Benchmark.read(path)
    print_benchmark(console, document)


def _show_comparison(console: Console, path: Path) -> None:
    try:
        found = Comparison.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        fault = f"{'.'.join(map(str, first['loc'])) or 'the document'}: {first['msg']}"
        raise WrongDocumentError(
            path, "result of thinsim compare", fault, "thinsim compare A B --json FILE"
        ) from None
    print_comparison(console, found)


def _show_baseline(console: Console, path: Path) -> None:
    stored = read_baseline(path.read_text(errors="replace"), str(path))
    table = Table(box=None, pad_edge=False)
    numbers = ("rounds", "leaked blocks", "leaked", "discards")
    for heading in ("scenario", "rig", *numbers[:1], "variant", *numbers[1:], "asserts"):
        table.add_column(heading, justify="right" if heading in numbers else "left")
    for each in stored.scenarios:
        for variant in each.variants:
            blocks = dict.fromkeys((variant.least_blocks, variant.most_blocks))
            table.add_row(
                Text(each.name),
                each.rig,
                str(each.rounds),
                Text(variant.name),
                " to ".join(map(str, blocks)),
                format_size(variant.most_leaked),
                str(variant.discards),
                f"{len(variant.broken)} do not hold" if variant.broken else "hold",
            )
    console.print(WholeWords(table), crop=False)


OTHER_DOCUMENTS = {
    "thinsim bench": OtherDocument("a result of thinsim bench", _show_benchmark),
    "thinsim compare": OtherDocument("a result of thinsim compare", _show_comparison),
    "thinsim baseline": OtherDocument("a baseline of thinsim baseline save or thinsim ci", _show_baseline),
}
