"""`print_result` prints a comparison with a baseline; `ComparisonOutputs` writes its files."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from thinsim.regression.baseline import Baseline
from thinsim.regression.comparison import Change, ChangeKind, ComparisonResult, ScenarioComparison
from thinsim.regression.junit_cases import suites_of
from thinsim.regression.markdown import could_not_run, markdown
from thinsim.regression.speed import SpeedVerdict
from thinsim.report.junit import TestCase, document
from thinsim.units import format_size


@dataclass(frozen=True, slots=True)
class ComparisonOutputs:
    """`ComparisonOutputs` are the files that a command was asked to write."""

    junit: Path | None
    markdown: Path | None
    json: Path | None

    def write(self, result: ComparisonResult, begun: float) -> None:
        """Write each file. *begun* is the start, in seconds since the epoch."""
        if self.markdown is not None:
            self.markdown.write_text(markdown(result))
        if self.junit is not None:
            self.junit.write_text(document(suites_of(result, begun)))
        if self.json is not None and result.comparisons:
            fresh = Baseline(scenarios=[each.now for each in result.comparisons])
            self.json.write_text(fresh.model_dump_json(indent=1) + "\n")

    def write_failure(self, why: str, begun: float) -> None:
        """Write the files of a command that could run no scenario at all."""
        if self.markdown is not None:
            self.markdown.write_text(could_not_run(why))
        if self.junit is not None:
            self.junit.write_text(document([("thinsim ci", begun, [TestCase("ran", error=why)])]))


def print_result(console: Console, result: ComparisonResult) -> None:
    """Print a line per scenario with its verdict, then its changes."""
    for each in result.comparisons:
        _line(console, _verdict(not each.failures), f" {each.now.name} on {each.now.rig}: {_summary(each)}")
        for change in each.changes:
            where = f"{change.variant}: " if change.variant else ""
            console.print(Text(f"     {change.mark}: {where}{change.text}", _style(change)), soft_wrap=True)
    for name, why in result.failed.items():
        _line(console, _verdict(False), f" {name} could not run: {why}")
    for name in result.missing:
        _line(console, Text("--  ", "dim"), f" {name} is missing, which is allowed")
    for text in result.data_planes:
        console.print(Text(text, "dim"), soft_wrap=True)
    for text in result.differences:
        console.print(Text(f"environment: {text}", "dim"), soft_wrap=True)


def _summary(each: ScenarioComparison) -> str:
    block = each.now.block_bytes
    leaks = [
        f"{variant.now.name} leaks {format_size(variant.now.most_blocks * block)}"
        for variant in each.variants
    ]
    told = {variant.speed.verdict for variant in each.variants} - {SpeedVerdict.NOT_COMPARED}
    speed = [f"discards are {' and '.join(sorted(told))}"] if told == {SpeedVerdict.SAME} else []
    return "; ".join([", ".join(leaks), *speed])


def _verdict(good: bool) -> Text:
    return Text("ok  ", "green") if good else Text("FAIL", "bold red")


def _style(change: Change) -> str:
    if change.fails:
        return "red"
    return "green" if change.kind is ChangeKind.BETTER else "dim"


def _line(console: Console, mark: Text, text: str) -> None:
    console.print(Text.assemble(mark, text), soft_wrap=True)
