"""``thinsim reproduce`` shows leaks, measures them at every height and names their owners."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from fuse_backing.statuses import exit_status_help
from thinsim.cli.attempt import Attempt, attempted
from thinsim.cli.containerd_option import containerd_option
from thinsim.cli.directory_option import directory_option
from thinsim.cli.expected_trouble import cannot_be_used_with, needs_option
from thinsim.cli.leak_limit import leak_limit_option
from thinsim.cli.output_console import notes_console
from thinsim.cli.output_path import OutputPath, keep_inputs
from thinsim.cli.outputs import Outputs, conclude, output_options
from thinsim.cli.progress import TerminalProgress
from thinsim.cli.quiet import quiet_option
from thinsim.cli.rig_option import rig_option
from thinsim.cli.run_scenario import clean_up_after_killed_runs
from thinsim.cli.size import UNITS
from thinsim.cli.statuses import LEAKED
from thinsim.did_you_mean import unknown_name
from thinsim.guests.reproduction import reproduce_in_guest
from thinsim.report.document import Report
from thinsim.report.reproduction_report import reproduction_report
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import RIGS, choose_rig, probe_rigs, rig_names
from thinsim.rig.setup.choice import LVM, SETUPS
from thinsim.scenario.container_lifecycle import Setting
from thinsim.scenario.reproduce import CORE, SUBJECTS, ReproductionRequest, run_reproduction


@click.command(
    epilog=f"{exit_status_help({LEAKED: 'a setting leaks more than --fail-on-leak'})}\n\n{UNITS}",
)
@click.option(
    "--image",
    type=click.Path(path_type=Path, exists=True),
    help="Use this image: an OCI archive, an unpacked OCI layout or a docker-archive. "
    "Default: an image of 4 layers and 100 MiB, built from this machine's files; the same files give the "
    "same digest.",
)
@click.option(
    "--container-mb",
    type=click.IntRange(0, 1 << 20),
    default=100,
    show_default=True,
    help="Let the container leave this many MiB of new files. The container also overwrites files of the "
    "image, and creates and deletes others.",
)
@click.option(
    "--setting",
    "chosen",
    type=click.Choice(list(dict.fromkeys(each.slug for known in SUBJECTS.values() for each in known))),
    multiple=True,
    help="Run only this setting; may be repeated. Default: every setting of the subject.",
)
@click.option(
    "--subject",
    type=click.Choice(list(SUBJECTS)),
    default=CORE,
    show_default=True,
    help="Choose the snapshotter. core: thinsim's own. containerd: this machine's unmodified containerd. "
    "proxy: that containerd on thinsim's core.",
)
@containerd_option("--subject containerd or --subject proxy")
@rig_option(rig_names())
@click.option(
    "--setup",
    type=click.Choice(SETUPS),
    help="Set the pool up as containerd's documentation does, and print the config.toml for it. loop-script: "
    "by its script, on two loop devices. lvm: by LVM, as container-storage-setup does. "
    "Needs --rig kernel or --rig vm.",
)
@click.option(
    "--sysconfig",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Read this configuration of container-storage-setup. Needs --setup lvm. "
    "Default: the documentation's.",
)
@directory_option
@click.option(
    "--repeatable",
    is_flag=True,
    help="Make the block counts the same in every run, to compare two rigs: one processor, a fixed hash seed "
    "and stripe for mkfs.ext4, no delayed allocation and no timed commits in ext4.",
)
@click.option(
    "--keep",
    is_flag=True,
    help="Keep the files, databases and logs. thinsim removes devices, mounts and servers all the same.",
)
@output_options
@leak_limit_option("setting")
@click.option(
    "--record",
    type=OutputPath(),
    help="Record the block writes of the first run in this file. Needs --rig emulated.",
)
@click.option(
    "--history",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Play this recording on thinsim's core instead of an image and a container. "
    "Default with --rig process: the recording that comes with thinsim.",
)
@click.option(
    "--guest-kernel",
    metavar="RELEASE",
    help="Boot this kernel release of /boot. Needs --rig vm. Default: the newest.",
)
@quiet_option
def reproduce(
    image: Path | None,
    container_mb: int,
    chosen: tuple[str, ...],
    subject: str,
    containerd: tuple[Path, ...],
    rig: str,
    setup: str | None,
    sysconfig: Path | None,
    directory: Path | None,
    repeatable: bool,
    keep: bool,
    outputs: Outputs,
    fail_on_leak: int | None,
    record: Path | None,
    history: Path | None,
    guest_kernel: str | None,
) -> int:
    """Import an image, run a container, remove both, show the leaks.

    The command does this for each setting of the snapshotter, on a fresh pool each time. The settings are
    off (discard_blocks = false), on (discard_blocks = true) and committed (discard_committed = true as
    well); with --subject containerd they are off, on, off-async and on-async.

    The table shows the bytes that the pool freed, that the host freed and that leaked in each phase, then
    every leak with its owner and its reason. After every step, thinsim compares the bytes that the host
    freed with the backing store's ledger; a difference ends the run. Progress goes to standard error.
    If a step fails or a signal interrupts the command, the outputs contain the measurements before, marked as
    cut short.
    """
    keep_inputs(*(each for each in (image, history, sysconfig) if each is not None))
    notes = notes_console()
    clean_up_after_killed_runs(notes)
    findings = probe_rigs(directory or Path(tempfile.gettempdir()))
    choice = choose_rig(rig, findings)
    notes.print(choice.note, highlight=False, soft_wrap=True)
    _check_fit(choice.rig, image, record, history, keep, guest_kernel)
    _check_setup(choice.rig, setup, sysconfig)
    if containerd and subject == CORE:
        takers = " or ".join(f"--subject {each}" for each in SUBJECTS if each != CORE)
        raise needs_option("--containerd", takers, "the core runs without containerd")
    settings = _settings(subject, chosen, choice.rig, history)
    request = ReproductionRequest(
        rig=choice.rig,
        settings=settings,
        subject=subject,
        image=image,
        container_bytes=container_mb << 20,
        directory=directory,
        keep=keep,
        record=record,
        history=history,
        repeatable=repeatable,
        guest_kernel=guest_kernel,
        setup=setup,
        sysconfig=sysconfig,
        containerd=containerd,
    )
    with TerminalProgress(notes) as progress:
        ran = _attempt(request, progress)
    return conclude(ran.result, outputs, fail_on_leak, ran.failure)


def _attempt(request: ReproductionRequest, progress: TerminalProgress) -> Attempt[Report]:
    if request.rig.running is None:
        return attempted(lambda keep: reproduce_in_guest(request, progress, keep))
    ran = attempted(lambda keep: run_reproduction(request, progress, keep))
    return Attempt(reproduction_report(request, ran.result, ran.cut_short), ran.failure)


def _settings(
    subject: str, chosen: tuple[str, ...], rig: RigRecord, history: Path | None
) -> Sequence[Setting]:
    known = [setting.slug for setting in SUBJECTS[subject]]
    for slug in chosen:
        if slug not in known:
            raise click.UsageError(unknown_name(f"{subject}: setting", slug, known))
    if subject != CORE and history:
        raise cannot_be_used_with("--history", f"--subject {subject}", "a recording plays on the core")
    if subject != CORE and not rig.mounts:
        raise cannot_be_used_with(
            f"--subject {subject}", f"--rig {rig.name}", "containerd needs devices, and this rig has none"
        )
    return [setting for setting in SUBJECTS[subject] if not chosen or setting.slug in chosen]


def _check_fit(
    rig: RigRecord,
    image: Path | None,
    record: Path | None,
    history: Path | None,
    keep: bool,
    guest_kernel: str | None,
) -> None:
    recording = " or ".join(each.name for each in RIGS if each.sees_writes)
    if not rig.mounts and (image or record):
        option = "--image" if image else "--record"
        raise cannot_be_used_with(
            option,
            f"--rig {rig.name}",
            "this rig mounts no file system and only plays recordings. Record one with "
            f"--rig {recording} --record FILE, and play it with --history FILE",
        )
    if record and not rig.sees_writes:
        raise needs_option("--record", f"--rig {recording}", "only that rig sees every block write")
    if history and (image or record):
        other = "--image" if image else "--record"
        raise cannot_be_used_with("--history", other, "a recording replaces the image and the container")
    plays = history or not rig.mounts
    sized = click.get_current_context().get_parameter_source("container_mb")
    if plays and sized is ParameterSource.COMMANDLINE:
        other = "--history" if history else f"--rig {rig.name}"
        raise cannot_be_used_with("--container-mb", other, "a recording has the size that was recorded")
    if keep and rig.running is None:
        raise cannot_be_used_with("--keep", f"--rig {rig.name}", "the guest's files are discarded with it")
    if guest_kernel and rig.running is not None:
        in_guest = " or ".join(each.name for each in RIGS if each.running is None)
        raise needs_option("--guest-kernel", f"--rig {in_guest}", "only a guest boots a kernel")


def _check_setup(rig: RigRecord, setup: str | None, sysconfig: Path | None) -> None:
    if setup and not rig.takes_set_ups:
        takers = " or ".join(f"--rig {each.name}" for each in RIGS if each.takes_set_ups)
        raise needs_option(f"--setup {setup}", takers, f"rig {rig.name} has no set-ups")
    if sysconfig and setup != LVM:
        raise needs_option("--sysconfig", f"--setup {LVM}", "it configures container-storage-setup")
