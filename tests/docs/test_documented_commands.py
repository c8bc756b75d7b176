"""Every command that the documents show exists, runs, and prints the shown output."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fuse_backing.cli import cli
from tests.docs.document_shell import assert_runs, filled
from tests.docs.document_stages import EXEMPT, STAGES, exempt, stage_of
from tests.docs.documented_commands import PAGES, Shown, commands_of, inline_commands_of, page_name
from tests.docs.stage_kinds import NIGHTLY
from tests.repository import REPOSITORY
from thinsim.cli.main import commands

PROGRAMS: dict[str, click.Command] = {"thinsim": commands, "fuse-backing": cli}
SHOWN = [shown for page in PAGES for shown in commands_of(page)]
NAMED = [shown for page in PAGES for shown in inline_commands_of(page)]
RUN = {
    page: [shown for shown in SHOWN if shown.page == page and exempt(page_name(page), shown.text) is None]
    for page in PAGES
}


def identified(shown: Shown) -> str:
    return f"{page_name(shown.page)}: {shown.text}"[:90]


@pytest.mark.parametrize(
    "shown", [each for each in (*SHOWN, *NAMED) if each.words[0] in PROGRAMS], ids=identified
)
def test_a_shown_command_and_its_options_exist(shown: Shown) -> None:
    program, *words = shown.words
    command = PROGRAMS[program]
    context = click.Context(command, info_name=program)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        word = words.pop(0)
        found = command.get_command(context, word)
        assert found is not None, f"{shown.text}: {program} has no command {word}"
        command, context = found, click.Context(found, info_name=word, parent=context)
    known = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    known |= set(context.help_option_names) | {"--"}
    if "--" in words:
        words = words[: words.index("--")]
    if "|" in words and shown.session:
        words = words[: words.index("|")]
    for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(words)):
        assert option in known, f"{shown.text}: there is no {option} (there are {sorted(known)})"


def test_every_word_to_be_filled_in_is_known_and_every_exemption_is_needed() -> None:
    for each in SHOWN:
        left_out = exempt(page_name(each.page), each.text)
        if not each.session and (left_out is None or left_out.run_by == NIGHTLY):
            filled(each.text, stage_of(page_name(each.page)))
    for left_out in EXEMPT:
        assert any(
            page_name(shown.page) == left_out.page and shown.text.startswith(left_out.words)
            for shown in SHOWN
        ), f"{left_out.page} does not show {left_out.words!r} any more"
    assert set(STAGES) <= {page_name(page) for page in PAGES}


@pytest.mark.parametrize("place", sorted({each.run_by for each in EXEMPT}))
def test_what_runs_the_others_is_there(place: str) -> None:
    if place.startswith("make "):
        assert f"\n{place.removeprefix('make ')}:" in (REPOSITORY / "Makefile").read_text()
    else:
        assert (REPOSITORY / place).exists()


CLEANS = "doctor --clean"
LONG = (
    "evidence/benchmarks.md",
    "explanation/emulated-and-kernel.md",
    "howto/compare-speed.md",
    "howto/gate-in-ci.md",
    "howto/keep-a-pool.md",
    "howto/share-a-report.md",
    "tutorial/write-a-scenario.md",
)
"""The commands of these pages take the most time: they measure, or run a scenario several times."""


def marks_of(page: Path, shown: list[Shown]) -> Iterator[pytest.MarkDecorator]:
    if page_name(page) in LONG:
        yield pytest.mark.long
    if any(each.text.endswith(CLEANS) for each in shown):
        yield pytest.mark.alone


@pytest.mark.rig
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=tuple(marks_of(page, shown))) for page, shown in RUN.items() if shown],
    ids=page_name,
)
def test_every_command_of_a_document_runs_as_it_is_shown(page: Path, image: Path, tmp_path: Path) -> None:
    shown = RUN[page]
    if os.environ.get("THINSIM_SHARED_MACHINE"):
        # Other tests may have left dead stores.
        shown = [each for each in shown if not each.text.endswith(CLEANS)]
    assert_runs(shown, stage_of(page_name(page)), image, tmp_path)
