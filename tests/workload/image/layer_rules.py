"""All rules of layers, what containerd answered, and where thinsim differs on purpose."""

import json
from pathlib import Path
from typing import Any

from tests.scenario.containerd.containerd_answers import Blob, UnpackedTree, digest
from tests.workload.image import (
    layer_rules_compressed,
    tar_rules_extended,
    tar_rules_headers,
    tar_rules_sparse,
    tar_rules_trees,
)

TYPE = "application/vnd.docker.image.rootfs.diff.tar"
ANSWERS = Path(__file__).parent / "data/containerd_layer_answers.json"
"""What containerd made of each rule, written by tools/record_layer_answers.py."""

_TARS = {
    **tar_rules_headers.RULES,
    **tar_rules_extended.RULES,
    **tar_rules_sparse.RULES,
    **tar_rules_trees.RULES,
}
RULES: dict[str, tuple[tuple[Blob, ...], str]] = {
    **{name: (tuple((tar, digest(tar)) for tar in tars), TYPE) for name, tars in _TARS.items()},
    **layer_rules_compressed.FORM_RULES,
    **layer_rules_compressed.TYPE_RULES,
}

_OWN = "a whiteout hides what lower layers have, never what its own layer brings (OCI image-spec, layer.md)"
_GLOBAL = "a global header makes nothing and removes nothing; containerd takes its name for an entry's"
_DEVICE = "containerd since August 2026 refuses numbers of more than 32 bits; before, it made another device"
_LIES = "what a blob is compressed with is told by its first bytes, whatever its media type says"
_NEW_TYPE = "containerd 1.6 does not know this type; later ones do"
ON_PURPOSE: dict[str, str] = {
    "opaque directory after its content": _OWN,
    "whiteout of what the layer brought": _OWN,
    "directory that the layer itself removes": _OWN,
    "global header with the name of a file": _GLOBAL,
    "global header with the name of a whiteout": _GLOBAL,
    "device number of -1": _DEVICE,
    "device number of 2^32": _DEVICE,
    **{
        f"media type {base}{suffix}, {form}": _LIES
        for base, suffix in (
            (layer_rules_compressed.OCI_TYPE, ""),
            (layer_rules_compressed.OCI_TYPE, "+bzip2"),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar", ""),
        )
        for form in ("gzip", "zstd")
    },
    **{
        f"media type application/vnd.docker.image.rootfs.diff.tar.zstd, {form}": _NEW_TYPE
        for form in ("plain", "gzip", "zstd")
    },
}
"""Rules of which containerd's answer is not ours, with the reason."""


def condensed(answer: UnpackedTree | str) -> UnpackedTree | str:
    """Return *answer* in a form to keep: a tree of many files as a digest, a refusal as one word."""
    if isinstance(answer, str):
        return "refused"
    if sum(map(len, answer)) < 4000:
        return answer
    return {"": f"{len(answer)} names, {digest(json.dumps(answer, sort_keys=True).encode())}"}


def recorded() -> dict[str, Any]:
    """Return containerd's answers by the names of the rules."""
    answers: dict[str, Any] = json.loads(ANSWERS.read_text())["answers"]
    return answers
