"""`to_json` writes a reproduction as JSON: every measurement, in bytes and seconds, with stable names."""

from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from thinsim import __version__
from thinsim.errors import InvalidValueError
from thinsim.measure.attribution import Leak, Owner
from thinsim.measure.sample import StepSample
from thinsim.rig.shape import PoolShape
from thinsim.scenario.container_lifecycle import LifecycleResult, Setting
from thinsim.scenario.reproduce import Reproduction
from thinsim.units import Bytes, sectors

FORMAT = 1
"""The version grows when a field changes its meaning or disappears."""


def to_json(result: Reproduction) -> dict[str, Any]:
    """Return the document that ``--json`` writes."""
    return {
        "format": FORMAT,
        "thinsim": __version__,
        "rig": result.rig,
        "kernel": result.kernel,
        "subject": result.subject,
        "image": result.image,
        "layers": result.layers,
        "container_bytes": result.container_bytes,
        "pool": {
            "name": result.shape.name,
            "data_size": result.shape.data_size,
            "metadata_size": result.shape.metadata_size,
            "block_bytes": result.shape.block_bytes,
            "low_water_blocks": result.shape.low_water_blocks,
            "features": list(result.shape.features),
        },
        "seconds": result.seconds,
        "repeatable": result.repeatable,
        "setup": result.setup,
        "config_toml": result.config_toml,
        "freed_bytes": result.freed_bytes,
        "kept": str(result.kept) if result.kept else None,
        "runs": [_run(run) for run in result.runs],
    }


def from_json(document: dict[str, Any]) -> Reproduction:
    """Read a document of ``to_json``. InvalidValueError for anything else."""
    try:
        if document["format"] != FORMAT:
            raise InvalidValueError(f"the reproduction has format {document['format']}, not {FORMAT}")
        pool = document["pool"]
        return Reproduction(
            rig=document["rig"],
            kernel=document["kernel"],
            subject=document["subject"],
            image=document["image"],
            layers=document["layers"],
            container_bytes=document["container_bytes"],
            shape=PoolShape(
                name=pool["name"],
                data_size=pool["data_size"],
                metadata_size=pool["metadata_size"],
                block_size=sectors(Bytes(pool["block_bytes"])),
                low_water_blocks=pool["low_water_blocks"],
                features=tuple(pool["features"]),
            ),
            runs=[_run_of(run) for run in document["runs"]],
            seconds=document["seconds"],
            repeatable=document["repeatable"],
            setup=document["setup"],
            config_toml=document["config_toml"],
            freed_bytes=document["freed_bytes"],
            kept=None,
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise InvalidValueError(f"the document is not a reproduction: {error!r}") from None


def _run_of(document: dict[str, Any]) -> LifecycleResult:
    return LifecycleResult(
        setting=TypeAdapter(Setting).validate_python(document["setting"]),
        samples=TypeAdapter(list[StepSample]).validate_python(document["samples"]),
        leaks=[
            Leak(
                Owner(leak["snapshot"], leak["thin_id"], leak["operation"], leak["reason"]),
                leak["blocks"],
                leak["bytes"],
            )
            for leak in document["leaks"]
        ],
        seconds=document["seconds"],
    )


def _run(run: LifecycleResult) -> dict[str, Any]:
    return {
        "setting": asdict(run.setting),
        "leaked": sum(leak.bytes for leak in run.leaks),
        "leaks": [{**asdict(leak.owner), "blocks": leak.blocks, "bytes": leak.bytes} for leak in run.leaks],
        "samples": [asdict(sample) for sample in run.samples],
        "seconds": dict(run.seconds),
    }
