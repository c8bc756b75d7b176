"""`report_of` makes the report of a scenario from the results of its run."""

from dataclasses import asdict

from thinsim.report.document import PoolFacts, Report, Speed, VariantRun
from thinsim.report.environment import environment
from thinsim.scenario.file.document import OWN_KEYS
from thinsim.scenario.file.run import START, ScenarioResult, VariantResult


def report_of(result: ScenarioResult, cut_short: str | None = None) -> Report:
    """Return the report of a run that has just ended; *cut_short* is the reason if it ended early."""
    request, shape = result.request, result.shape
    options = [word for name in request.variants for word in ("--variant", name)]
    options += ["--repeatable"] if request.repeatable else []
    facts = environment(request.directory, data_plane=result.data_plane)
    return Report(
        cut_short=cut_short,
        thinsim=facts["thinsim"],
        name=request.name,
        title=request.scenario.title,
        containerd_does=_prose(request.scenario.containerd_does),
        it_should=_prose(request.scenario.it_should),
        scenario=request.text,
        command=["thinsim", "run", request.name, "--rig", request.rig.name, *options],
        rig=request.rig.name,
        pool=PoolFacts.of(shape),
        environment=facts,
        phases=[START, *(phase.name for phase in request.scenario.phase)],
        runs=[_run(run, cut_short) for run in result.runs],
        seconds=result.seconds,
        kept=str(result.kept) if result.kept is not None else None,
    )


def _run(run: VariantResult, cut_short: str | None) -> VariantRun:
    return VariantRun(
        name=run.variant.name,
        cut_short=None if run.finished else cut_short,
        snapshotter={key: value for key, value in asdict(run.config).items() if key not in OWN_KEYS},
        started=run.started,
        leaked=run.leaked,
        leaks=list(run.leaks),
        fs_type=run.fs_type,
        outcomes=list(run.outcomes),
        samples=list(run.samples),
        events=list(run.events),
        speed=Speed(
            write_seconds=run.write_seconds,
            discards=run.discards.discards,
            discard_seconds=run.discards.seconds,
            discard_processor_seconds=run.discards.processor,
            discard_delayed_seconds=run.discards.delayed,
            reference=run.discards.reference if run.discards.reference.units else None,
        ),
        seconds=run.seconds,
    )


def _prose(text: str) -> str:
    return " ".join(text.split())
