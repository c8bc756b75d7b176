"""``thinsim vm`` boots a throw-away guest on a distribution kernel and this machine's own files."""

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from thinsim.cli.findings_table import findings_table
from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.output_console import output_console
from thinsim.cli.size import SIZE, UNITS
from thinsim.cli.statuses import DONE, FAILED
from thinsim.machine.findings import lacks
from thinsim.machine.working_directory import working_directory
from thinsim.rig import registry
from thinsim.rig.vm import VM
from thinsim.units import Bytes
from thinsim.vm.acceleration import decide
from thinsim.vm.guest import GuestSpec, run_in_guest
from thinsim.vm.kernels import find_kernel
from thinsim.vm.probe import check_guest


@click.group()
def vm() -> None:
    """A throw-away virtual machine with the kernel's own dm-thin, on a view of this machine."""


@vm.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def probe(as_json: bool) -> int:
    """List what a guest needs, with a fix for each lack. Exits 1 for a lack.

    Whether KVM works is tried, for 25 s at most, whatever was found before; guests go by it until the
    machine boots again.
    """
    findings = registry.probe_rigs(Path(tempfile.gettempdir()), [VM])
    if not lacks(findings):
        kernel = find_kernel(None)
        run_interruptible(lambda: decide(kernel, _say, again=True))
        findings = registry.probe_rigs(Path(tempfile.gettempdir()), [VM])
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        output_console().print(findings_table(findings))
    return FAILED if lacks(findings) else DONE


@vm.command("run", epilog=UNITS)
@click.option("--kernel", metavar="RELEASE", help="A release or an image in /boot. Default: the newest.")
@click.option("--memory", type=SIZE, default="2G", show_default=True, help="The guest's memory.")
@click.option("--cpus", type=click.IntRange(1, 64), default=2, show_default=True, help="Its processors.")
@click.option("--timeout", type=click.FloatRange(min=1), default=1800, show_default=True, help="Seconds.")
@click.option(
    "--share",
    "shares",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    multiple=True,
    help="A directory that the guest may change for good; may be repeated.",
)
@click.argument("command", nargs=-1, required=True)
def run_command(
    kernel: str | None,
    memory: int,
    cpus: int,
    timeout: float,
    shares: tuple[Path, ...],
    command: tuple[str, ...],
) -> int:
    """Boot a guest, run COMMAND in it as root in this directory, power off. Exits with COMMAND's status.

    The guest sees this machine's files and changes them for itself alone, except below --share. An
    empty ext4 of 16 GiB is mounted on /run/thinsim-scratch; there is no network.
    """

    async def work() -> int:
        chosen = find_kernel(kernel)
        acceleration = await decide(chosen, _say)
        spec = GuestSpec(chosen, acceleration.kvm, Bytes(memory), cpus=cpus, shares=shares)
        async with working_directory(None, _say) as (directory, journal):
            return await run_in_guest(
                spec, command, directory, journal, out=_write_out, err=_write_err, seconds=timeout
            )

    check_guest(kernel)
    return run_interruptible(work)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _write_out(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _write_err(piece: bytes) -> None:
    sys.stderr.buffer.write(piece)
    sys.stderr.buffer.flush()
