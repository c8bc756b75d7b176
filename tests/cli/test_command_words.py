"""On the command line every option explains itself, and an impossible size is told as it was put."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fuse_backing.cli import cli
from thinsim.cli.commands.pool import pool as pool_commands
from thinsim.cli.main import commands
from thinsim.cli.size import SizeType


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            assert below is not None
            yield from leaves(below, f"{name} {word}")
    yield name, command


EVERY = dict((*leaves(commands, "thinsim"), *leaves(cli, "fuse-backing")))


@pytest.mark.parametrize("name", EVERY)
def test_every_command_and_option_explains_itself(name: str) -> None:
    assert EVERY[name].help
    options = [each for each in EVERY[name].params if isinstance(each, click.Option)]
    assert [each.opts[0] for each in options if not each.help] == []


@pytest.mark.parametrize("name", EVERY)
def test_a_command_that_takes_a_size_says_how_sizes_are_written(name: str) -> None:
    if any(isinstance(each.type, SizeType) for each in EVERY[name].params):
        assert "K, M, G" in CliRunner().invoke(EVERY[name], ["--help"]).output


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--block-size", "100K"), "--block-size': 100K is 102400 bytes: it has to be a multiple of 64 KiB"),
        (("--block-size", "128"), "128 is 128 bytes (no unit: 64K, 2G, ...): it has to be a multiple"),
        (("--block-size", "2G"), "64 KiB to 1 GiB"),
        (("--data-size", "1.5"), "'1.5' has no unit: 1.5K, 1.5M, 1.5G"),
        (("--data-size", "1000"), "it has to be a multiple of 512 B, 512 B or more"),
        (("--data-size", "1M", "--block-size", "2M"), "1 MiB is not even one data block of 2 MiB"),
        (("--feature", "fast"), "'fast' is not one of 'skip_block_zeroing', 'ignore_discard'"),
    ],
)
def test_a_size_that_no_pool_has_is_a_usage_error_in_the_words_of_the_user(
    words: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(pool_commands, ["create", "p", "--dir", str(tmp_path / "new"), *words])
    assert done.exit_code == 2
    assert complaint in done.stderr
    assert not (tmp_path / "new").exists()
