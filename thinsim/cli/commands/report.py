"""``thinsim report`` shows the JSON document of an earlier command as a table, a page or JUnit XML."""

import json
from pathlib import Path

import click

from fuse_backing.statuses import exit_status_help
from thinsim.cli.expected_trouble import cannot_be_used_with
from thinsim.cli.leak_limit import exceeds, leak_limit_option
from thinsim.cli.output_console import output_console
from thinsim.cli.output_path import refuse_to_overwrite
from thinsim.cli.outputs import Outputs, output_options, write_outputs
from thinsim.cli.saved_documents import OTHER_DOCUMENTS, OtherDocument, kind_of
from thinsim.cli.size import UNITS
from thinsim.cli.statuses import DONE, FAILED, LEAKED
from thinsim.report.document import from_json, json_schema


@click.command(
    epilog=exit_status_help(
        {
            FAILED: "the run of the report was cut short, with --fail-on-leak",
            LEAKED: "a run leaks more than --fail-on-leak",
        }
    )
    + f"\n\n{UNITS}"
)
@click.argument("document", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option("--schema", is_flag=True, help="Print the JSON schema of a report and end.")
@leak_limit_option("run")
@output_options
def report(document: Path | None, schema: bool, fail_on_leak: int | None, outputs: Outputs) -> int:
    """Show or convert the report of an earlier run.

    DOCUMENT is the JSON that thinsim run --json or thinsim reproduce --json wrote. Nothing runs again. The
    command also shows the tables of the documents of thinsim bench, compare, baseline save and ci.
    """
    if schema:
        click.echo(json.dumps(json_schema(), indent=1))
        return DONE
    if document is None:
        raise click.UsageError(
            "Name a DOCUMENT, the JSON that thinsim run --json or thinsim reproduce --json wrote, "
            "or use --schema."
        )
    refuse_to_overwrite(document)
    text = document.read_text(errors="replace")
    other = OTHER_DOCUMENTS.get(kind_of(text) or "")
    if other is not None:
        _refuse_options(document, other, outputs, fail_on_leak)
        other.show(output_console(), document)
        return DONE
    shown = from_json(text, str(document))
    write_outputs(shown, outputs, fail_on_leak)
    if exceeds(shown, fail_on_leak):
        return LEAKED
    if fail_on_leak is not None and shown.cut_short is not None:
        click.echo(f"thinsim: {document}: the run was cut short, so it may leak more", err=True)
        return FAILED
    return DONE


def _refuse_options(document: Path, other: OtherDocument, outputs: Outputs, fail_on_leak: int | None) -> None:
    options = [*outputs.named, *(["--fail-on-leak"] if fail_on_leak is not None else [])]
    if options:
        raise cannot_be_used_with(
            options[0],
            str(document),
            f"this is {other.title}, and the option is for reports of thinsim run and thinsim reproduce",
        )
