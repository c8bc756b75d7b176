"""A chart of a benchmark has contenders' ratios, growing sizes, or the ratios of two documents."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

from thinsim.benchmark.rounds import Measurements
from thinsim.benchmark.verdicts import Compared, Verdict

_COLOURS = {Verdict.BETTER: "tab:green", Verdict.WORSE: "tab:red"}
_NO_VERDICT = "tab:gray"


def ratio_chart(result: Measurements, reference: str, title: str, path: Path) -> None:
    """Draw each contender's ratio to *reference* by row, with its range over the rounds.

    The suffix of *path* chooses the format.
    """
    others = [contender for contender in result.contenders if contender != reference]
    height = 0.8 / max(len(others), 1)
    figure, axes = plt.subplots(figsize=(9, 0.9 * len(result.rows) + 1.5))
    for place, contender in enumerate(others):
        for index, row in enumerate(result.rows):
            ratio = result.ratio(row, contender, reference)
            if ratio is None:
                continue
            spread = result.ratios(row, contender, reference)
            axes.barh(
                index + place * height,
                ratio,
                height,
                color=f"C{place}",
                label=contender if contender not in axes.get_legend_handles_labels()[1] else None,
                xerr=[[max(ratio - min(spread), 0)], [max(max(spread) - ratio, 0)]],
                error_kw={"elinewidth": 0.7},
            )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks([index + 0.4 - height / 2 for index in range(len(result.rows))])
    axes.set_yticklabels([row.name for row in result.rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"ratio to: {reference}")
    axes.set_title(title)
    axes.legend(loc="lower right", fontsize="small")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def growth_chart(
    rows: Sequence[Mapping[str, float]],
    along: str,
    curves: Mapping[str, Sequence[str]],
    title: str,
    path: Path,
) -> None:
    """Draw columns of *rows* over the column *along*, on logarithmic axes.

    *curves* lists the columns by unit; each unit has its own panel.
    """
    figure, panels = plt.subplots(1, len(curves), figsize=(5 * len(curves), 4.5), squeeze=False)
    for axes, (unit, names) in zip(panels[0], curves.items(), strict=True):
        for name in names:
            axes.loglog(
                [row[along] for row in rows], [row[name] for row in rows], marker="o", label=_words(name)
            )
        axes.set_xlabel(_words(along))
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=min(1.0, *axes.get_ylim()))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _words(name: str) -> str:
    return name.replace("_", " ")


def comparison_chart(compared: Sequence[Compared], title: str, path: Path) -> None:
    """Draw each ratio with its interval. The suffix of *path* chooses the format."""
    shown = [(each, each.ratio) for each in compared if each.ratio is not None and each.ratio.median > 0]
    figure, axes = plt.subplots(figsize=(9, 0.32 * len(shown) + 1.5))
    for place, (each, ratio) in enumerate(shown):
        spread = [[ratio.median - ratio.low], [ratio.high - ratio.median]]
        axes.errorbar(
            ratio.median, place, xerr=spread, fmt="o", color=_COLOURS.get(each.verdict, _NO_VERDICT)
        )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)))
    labels, common = labels_of([each for each, _ in shown])
    axes.set_yticklabels(labels, fontsize="x-small", parse_math=False)
    axes.invert_yaxis()
    axes.margins(y=1 / max(len(shown), 1))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(
        "ratio and the interval that holds its median\ngreen: better, red: worse, gray: no verdict"
    )
    axes.set_title("\n".join(filter(None, (title, common))), fontsize="medium", parse_math=False)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def labels_of(compared: Sequence[Compared]) -> tuple[list[str], str]:
    """Return a label for each ratio with the words that distinguish it, and the words common to all."""
    words = [[each.contender, *each.sizes.split(", ")] for each in compared]
    columns = list(zip(*words, strict=True)) if len({len(each) for each in words}) == 1 else []
    same = [column[0] for column in columns if len(set(column)) == 1]
    labels = [
        ", ".join([each.row, *(word for word in own if word not in same)])
        for each, own in zip(compared, words, strict=True)
    ]
    return labels, ", ".join(filter(None, same))
