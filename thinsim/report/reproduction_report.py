"""`reproduction_report` makes the report of ``thinsim reproduce``; `command_words` repeats its request."""

from thinsim.report.document import PoolFacts, Report, ReproducedWork, VariantRun
from thinsim.report.environment import environment
from thinsim.scenario.container_lifecycle import LifecyclePhase, LifecycleResult
from thinsim.scenario.containerd.builds import containerd_facts
from thinsim.scenario.reproduce import Reproduction, ReproductionRequest
from thinsim.units import format_size

_FS_TYPE = "ext4"
"""The file system of every snapshot; a rig without mounts replays the writes of a real one."""


def reproduction_report(
    request: ReproductionRequest, result: Reproduction, cut_short: str | None = None
) -> Report:
    """Return the report of a run that has just ended; *cut_short* is the reason if it ended early."""
    builds = containerd_facts(result.builds)
    facts = environment(request.directory, containerd=builds, data_plane=result.data_plane)
    kernel = ["--guest-kernel", request.guest_kernel] if request.guest_kernel is not None else []
    return Report(
        cut_short=cut_short,
        thinsim=facts["thinsim"],
        name="reproduce",
        title=f"{result.image}: {result.layers} layers; a container that writes "
        f"{format_size(result.container_bytes)}",
        containerd_does="",
        it_should="",
        scenario="",
        reproduction=ReproducedWork(
            subject=result.subject,
            image=result.image,
            layers=result.layers,
            container_bytes=result.container_bytes,
            kernel=result.kernel,
            repeatable=result.repeatable,
            setup=result.setup,
            config_toml=result.config_toml,
        ),
        command=["thinsim", *command_words(request), "--rig", result.rig, *kernel],
        rig=result.rig,
        pool=PoolFacts.of(result.shape),
        environment=facts,
        phases=list(LifecyclePhase.ALL),
        runs=[_run(run, cut_short) for run in result.runs],
        seconds=result.seconds,
        kept=str(result.kept) if result.kept is not None else None,
    )


def command_words(request: ReproductionRequest) -> list[str]:
    """Return the arguments of ``thinsim`` for *request*, without the rig and the directories."""
    words = ["reproduce", "--subject", request.subject]
    words += ["--container-mb", str(request.container_bytes >> 20)]
    for setting in request.settings:
        words += ["--setting", setting.slug]
    for directory in request.containerd:
        words += ["--containerd", str(directory.resolve())]
    if request.image is not None:
        words += ["--image", str(request.image.resolve())]
    if request.history is not None:
        words += ["--history", str(request.history.resolve())]
    if request.repeatable:
        words.append("--repeatable")
    if request.setup is not None:
        words += ["--setup", request.setup]
    if request.sysconfig is not None:
        words += ["--sysconfig", str(request.sysconfig.resolve())]
    return words


def _run(run: LifecycleResult, cut_short: str | None) -> VariantRun:
    setting = run.setting
    return VariantRun(
        name=setting.name,
        setting=setting.slug,
        cut_short=None if run.finished else cut_short,
        snapshotter={
            "discard_blocks": setting.discard_blocks,
            "discard_committed": setting.discard_committed,
            "async_remove": setting.async_remove,
        },
        started=run.started,
        leaked=sum(leak.bytes for leak in run.leaks),
        leaks=list(run.leaks),
        fs_type=_FS_TYPE,
        outcomes=[],
        samples=list(run.samples),
        events=list(run.events),
        seconds=run.seconds,
    )
