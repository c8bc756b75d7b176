"""Every command and option has a help that fits its page, and a size error repeats the size as written."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fuse_backing.cli import cli
from tests.cli.command_tree import every_command
from tests.cli.golden_texts import GOLDEN, assert_golden
from thinsim.cli.main import commands
from thinsim.cli.size import SizeType

WIDTH = 80
PROGRAMS: dict[str, click.Group] = {"thinsim": commands, "fuse-backing": cli}


EVERY = dict((*every_command(commands, "thinsim"), *every_command(cli, "fuse-backing")))


def help_page(name: str) -> str:
    program, *words = name.split()
    done = CliRunner().invoke(PROGRAMS[program], [*words, "--help"], prog_name=program, terminal_width=WIDTH)
    assert done.exit_code == 0
    return done.output


@pytest.mark.parametrize("name", EVERY)
def test_every_command_and_option_has_a_help(name: str) -> None:
    assert EVERY[name].help
    options = [each for each in EVERY[name].params if isinstance(each, click.Option)]
    assert [each.opts[0] for each in options if not each.help] == []


@pytest.mark.parametrize("name", EVERY)
def test_the_help_of_each_option_is_a_sentence(name: str) -> None:
    for option in EVERY[name].params:
        if isinstance(option, click.Option) and not option.hidden:
            assert re.fullmatch(r"[A-Z][^.]*\s.*\.", str(option.help), re.DOTALL), option.opts[0]


@pytest.mark.parametrize("name", EVERY)
def test_no_line_of_a_help_page_is_cut_off_or_too_wide(name: str) -> None:
    usage, _, rest = help_page(name).partition("\n\n")
    assert usage.startswith(f"Usage: {name} ")
    assert "..." not in rest
    assert [line for line in rest.splitlines() if len(line) > WIDTH] == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_command_is_in_one_section_of_its_program(program: str) -> None:
    listed = re.findall(r"^  ([a-z]+)  +[A-Z].*\.$", help_page(program), re.MULTILINE)
    assert sorted(listed) == sorted(PROGRAMS[program].list_commands(click.Context(PROGRAMS[program])))
    assert "\nCommands:\n" not in help_page(program)


@pytest.mark.parametrize("name", EVERY)
def test_the_help_page_is_the_golden_one(name: str) -> None:
    assert_golden(GOLDEN / "help" / f"{name.replace(' ', '-')}.txt", help_page(name))


def test_each_golden_help_page_belongs_to_a_command() -> None:
    names = {f"{name.replace(' ', '-')}.txt" for name in EVERY}
    assert {path.name for path in (GOLDEN / "help").iterdir()} == names


@pytest.mark.parametrize("name", EVERY)
def test_a_command_that_takes_a_size_explains_the_units(name: str) -> None:
    if any(isinstance(each.type, SizeType) for each in EVERY[name].params):
        assert "K, M, G" in CliRunner().invoke(EVERY[name], ["--help"]).output


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ("--block-size", "100K"),
            "--block-size': 100K is 102400 bytes: the size must be a multiple of 64 KiB",
        ),
        (("--block-size", "128"), "128 is 128 bytes (without a unit such as K, M or G): the size must be"),
        (("--block-size", "2G"), "64 KiB to 1 GiB"),
        (("--data-size", "1.5"), "'1.5' has no unit (write 1.5K, 1.5M or 1.5G)"),
        (("--data-size", "1000"), "the size must be a multiple of 512 B, 512 B or more"),
        (("--data-size", "1M", "--block-size", "2M"), "1 MiB is not even one data block of 2 MiB"),
        (("--feature", "fast"), "'fast' is not one of 'skip_block_zeroing', 'ignore_discard'"),
    ],
)
def test_an_impossible_size_is_a_usage_error_that_repeats_the_size(
    words: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(commands, ["pool", "create", "p", "--dir", str(tmp_path / "new"), *words])
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert not (tmp_path / "new").exists()
