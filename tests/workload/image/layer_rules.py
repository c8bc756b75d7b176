"""`RULES` has all rules of layers, `recorded` containerd's answers, `ON_PURPOSE` deliberate differences."""

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
"""File with the answers of containerd to all rules, written by tools/record_layer_answers.py."""

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

_OWN = "a whiteout hides files of lower layers, never files of its own layer (OCI image-spec, layer.md)"
_GLOBAL = "a global header makes nothing and removes nothing; containerd takes its name for an entry's"
_DEVICE = "containerd since August 2026 refuses numbers of more than 32 bits; before, it made another device"
_LIES = "the first bytes of a blob decide its compression, not its media type"
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
"""Reason for each rule to which thinsim's answer differs from containerd's."""


def condensed(answer: UnpackedTree | str) -> UnpackedTree | str:
    """Return *answer* in the form of the recording: a large tree as a digest, a refusal as one word."""
    if isinstance(answer, str):
        return "refused"
    if sum(map(len, answer)) < 4000:
        return answer
    return {"": f"{len(answer)} names, {digest(json.dumps(answer, sort_keys=True).encode())}"}


def recorded() -> dict[str, Any]:
    """Return containerd's answers by the name of the rule."""
    answers: dict[str, Any] = json.loads(ANSWERS.read_text())["answers"]
    return answers
