"""``thinsim vm`` boots a throw-away guest with a distribution's kernel and this machine's files."""

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from fuse_backing.statuses import exit_status_help
from thinsim.cli.findings_table import findings_table
from thinsim.cli.interruptible import run_interruptible
from thinsim.cli.output_console import print_table
from thinsim.cli.quiet import note, quiet_option
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
    """Run commands in a virtual machine with the kernel's dm-thin.

    thinsim discards the guest at the end. The guest sees this machine's files: the same tools and the same
    Python. Without KVM, it is emulated and about ten times slower. make setup-vm installs its requirements:
    qemu, a distribution's kernel with its modules, busybox and virtme-ng.
    """


@vm.command(epilog=exit_status_help({FAILED: "a requirement is missing"}))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def probe(as_json: bool) -> int:
    """List missing requirements of the guest, each with a fix.

    If none is missing, the command also tries to boot a guest under KVM, for at most 25 s. Later guests use
    the result until this machine boots again.
    """
    findings = registry.probe_rigs(Path(tempfile.gettempdir()), [VM])
    if not lacks(findings):
        kernel = find_kernel(None)
        run_interruptible(lambda: decide(kernel, note, again=True))
        findings = registry.probe_rigs(Path(tempfile.gettempdir()), [VM])
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        print_table(findings_table(findings))
    return FAILED if lacks(findings) else DONE


@vm.command("run", epilog=f"Exit status: that of COMMAND.\n\n{UNITS}")
@click.option(
    "--kernel", metavar="RELEASE", help="Boot this release of /boot, or this image. Default: the newest."
)
@click.option("--memory", type=SIZE, default="2G", show_default=True, help="Give the guest this much memory.")
@click.option(
    "--cpus",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Give the guest this many processors.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=1800,
    show_default=True,
    help="End the guest after this many seconds.",
)
@click.option(
    "--share",
    "shares",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    multiple=True,
    help="Write the guest's changes below this directory to this machine; may be repeated.",
)
@click.argument("command", nargs=-1, required=True)
@quiet_option
def run_command(
    kernel: str | None,
    memory: int,
    cpus: int,
    timeout: float,
    shares: tuple[Path, ...],
    command: tuple[str, ...],
) -> int:
    """Boot a guest, run COMMAND in it as root, and power off.

    COMMAND runs in the current directory. The guest sees this machine's files; its changes are discarded
    except below --share. An empty ext4 of 16 GiB is mounted on /run/thinsim-scratch. There is no network.
    """

    async def work() -> int:
        chosen = find_kernel(kernel)
        acceleration = await decide(chosen, note)
        spec = GuestSpec(chosen, acceleration.kvm, Bytes(memory), cpus=cpus, shares=shares)
        async with working_directory(None, note) as (directory, journal):
            return await run_in_guest(
                spec, command, directory, journal, out=_write_out, err=_write_err, seconds=timeout
            )

    check_guest(kernel)
    return run_interruptible(work)


def _write_out(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _write_err(piece: bytes) -> None:
    sys.stderr.buffer.write(piece)
    sys.stderr.buffer.flush()
