"""``thinsim scenarios`` shows the library of scenario files and helps to write others."""

import json
from pathlib import Path

import click
from rich.table import Table

from fuse_backing.statuses import exit_status_help
from thinsim.cli.name_completion import scenario_names
from thinsim.cli.output_console import print_table
from thinsim.cli.statuses import DONE, FAILED
from thinsim.errors import InvalidValueError
from thinsim.scenario.file import library
from thinsim.scenario.file.document import json_schema

_TEMPLATE = "container-exit"


@click.group()
def scenarios() -> None:
    """List, print, copy and check scenario files.

    A scenario file is TOML: it lists the steps of a run, its variants and its asserts. A library of
    scenarios comes with thinsim.
    """


@scenarios.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_scenarios(as_json: bool) -> None:
    """List the scenarios of the library."""
    found = [library.find_scenario(name) for name in library.library_names()]
    if as_json:
        rows = [
            {
                "name": each.name,
                "title": each.scenario.title,
                "variants": [variant.name for variant in each.scenario.variants],
                "path": str(each.path),
            }
            for each in found
        ]
        click.echo(json.dumps(rows, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "title", "variants"):
        table.add_column(heading)
    for each in found:
        named = ", ".join(variant.name for variant in each.scenario.variant)
        table.add_row(each.name, each.scenario.title, named)
    print_table(table)


@scenarios.command()
@click.argument("name", shell_complete=scenario_names)
def show(name: str) -> None:
    """Print the file of a library scenario."""
    click.echo(library.find_scenario(name).text, nl=False)


@scenarios.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "origin",
    default=_TEMPLATE,
    show_default=True,
    shell_complete=scenario_names,
    help="Copy this scenario of the library.",
)
def new(file: Path, origin: str) -> None:
    """Copy a scenario of the library to FILE.

    The command refuses to overwrite an existing file.
    """
    text = library.find_scenario(origin).text
    try:
        with file.open("x") as made:
            made.write(text)
    except FileExistsError:
        raise InvalidValueError(f"{file} already exists: name another file") from None
    click.echo(f"Wrote {file}, a copy of {origin}. To run it: thinsim run {file}", err=True)


@scenarios.command(epilog=exit_status_help({FAILED: "a file has a problem"}))
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def check(files: tuple[str, ...]) -> int:
    """Check scenario files without running them.

    The command prints every problem with its line.
    """
    status = DONE
    for file in files:
        try:
            library.find_scenario(file)
        except InvalidValueError as error:
            click.echo(str(error), err=True)
            status = FAILED
    return status


@scenarios.command()
def schema() -> None:
    """Print the JSON schema of scenario files for editors."""
    click.echo(json.dumps(json_schema(), indent=1))
