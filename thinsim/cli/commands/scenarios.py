"""``thinsim scenarios`` shows the library of scenario files and helps to write others."""

import json
from dataclasses import asdict, dataclass, field
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
from thinsim.scenario.file.loading import InvalidScenarioError, problem_lines
from thinsim.scenario.file.rehearsal import rehearse, remarks

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
@click.argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete=scenario_names)
@click.option("--quiet", is_flag=True, help="Print nothing about a file without a problem.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with one object per file.")
def check(files: tuple[str, ...], quiet: bool, as_json: bool) -> int:
    """Check scenario files without running them.

    The command prints every problem with its line. It follows the steps in their order in each variant, and
    finds a step that uses a snapshot that does not exist then. FILE can be the name of a library scenario.
    """
    checked = [_checked(file) for file in files]
    if as_json:
        click.echo(json.dumps([asdict(each) for each in checked], indent=1))
    else:
        for each in checked:
            for line in (*each.problems, *(() if quiet else each.remarks)):
                click.echo(line, err=True)
            if each.ok and not quiet:
                amounts = ", ".join(
                    f"{number} {what}{'' if number == 1 else 's'}"
                    for what, number in (
                        ("phase", each.phases),
                        ("variant", each.variants),
                        ("step", each.steps),
                    )
                )
                click.echo(f"{each.file}: ok: {amounts}")
    return DONE if all(each.ok for each in checked) else FAILED


@dataclass(frozen=True)
class _Checked:
    """A `_Checked` is the result for one file. The numbers are 0 for a file that cannot be read as one."""

    file: str
    ok: bool
    problems: list[str]
    remarks: list[str] = field(default_factory=list)
    phases: int = 0
    variants: int = 0
    steps: int = 0


def _checked(file: str) -> _Checked:
    try:
        found = library.find_scenario(file)
    except InvalidScenarioError as error:
        return _Checked(file, False, list(error.problems))
    except InvalidValueError as error:
        return _Checked(file, False, [str(error)])
    scenario = found.scenario
    faults = [(fault.place, fault.text) for fault in rehearse(scenario, scenario.variants)]
    problems = problem_lines(faults, found.text, file)
    return _Checked(
        file,
        not problems,
        problems,
        problem_lines(remarks(scenario), found.text, file),
        len(scenario.phase),
        len(scenario.variants),
        sum(len(phase.steps) for phase in scenario.phase),
    )


@scenarios.command()
def schema() -> None:
    """Print the JSON schema of scenario files for editors."""
    click.echo(json.dumps(json_schema(), indent=1))
