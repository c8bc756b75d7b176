"""A reproduction as JSON: everything that was measured, bytes and seconds, stable names."""

from dataclasses import asdict
from typing import Any

from thinsim import __version__
from thinsim.scenario.container_lifecycle import LifecycleResult
from thinsim.scenario.reproduce import Reproduction

FORMAT = 1
"""Raised when a field changes its meaning or goes."""


def to_json(result: Reproduction) -> dict[str, Any]:
    """Return the document that ``--json`` writes."""
    return {
        "format": FORMAT,
        "thinsim": __version__,
        "rig": result.rig,
        "subject": result.subject,
        "image": result.image,
        "layers": result.layers,
        "container_bytes": result.container_bytes,
        "pool": {
            "data_size": result.shape.data_size,
            "metadata_size": result.shape.metadata_size,
            "block_bytes": result.shape.block_bytes,
            "features": list(result.shape.features),
        },
        "seconds": result.seconds,
        "repeatable": result.repeatable,
        "kept": str(result.kept) if result.kept else None,
        "runs": [_run(run) for run in result.runs],
    }


def _run(run: LifecycleResult) -> dict[str, Any]:
    return {
        "setting": asdict(run.setting),
        "leaked": sum(leak.bytes for leak in run.leaks),
        "leaks": [{**asdict(leak.owner), "blocks": leak.blocks, "bytes": leak.bytes} for leak in run.leaks],
        "samples": [asdict(sample) for sample in run.samples],
        "seconds": dict(run.seconds),
    }
