"""``thinsim report`` shows the JSON of a run as a table, a page or JUnit XML."""

import json
from pathlib import Path

import click

from thinsim.cli.outputs import output_options, write_outputs
from thinsim.cli.statuses import DONE
from thinsim.report.document import from_json, json_schema


@click.command()
@click.argument("document", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option("--schema", is_flag=True, help="Print the JSON schema of DOCUMENT and end.")
@output_options
def report(
    document: Path | None,
    schema: bool,
    json_path: Path | None,
    junit_path: Path | None,
    html_path: Path | None,
) -> int:
    """Show or convert the report of an earlier run.

    DOCUMENT is the JSON that thinsim run --json wrote. The scenario does not run again.
    """
    if schema:
        click.echo(json.dumps(json_schema(), indent=1))
        return DONE
    if document is None:
        raise click.UsageError("Name a DOCUMENT, the JSON that thinsim run --json wrote, or use --schema.")
    shown = from_json(document.read_text(errors="replace"), str(document))
    write_outputs(shown, json_path=json_path, junit_path=junit_path, html_path=html_path)
    return DONE
