"""The steps of a scenario file, one model per ``do`` word. What each does stands in ``acts.py``."""

import errno
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BeforeValidator, Field, field_validator

from fuse_backing.errors import FaultPlanError
from fuse_backing.faults import Fault
from thinsim.scenario.file.values import Bound, Count, FileName, Names, Size, Strict

FAILURES = {
    "already_exists": "AlreadyExistsError",
    "not_found": "NotFoundError",
    "failed_precondition": "FailedPreconditionError",
    "invalid_argument": "InvalidArgumentError",
}
"""containerd's error classes by the word that ``fails`` takes; errno names are the others."""


class Step(Strict):
    """What every step has."""

    only: Names = Field(default_factory=list)
    """Take the step in these variants alone."""


class Act(Step):
    """A step that can be refused."""

    fails: Names = Field(default_factory=list)
    """It must fail with one of these: an errno name, or a word of FAILURES."""

    @field_validator("fails")
    @classmethod
    def _known(cls, words: list[str]) -> list[str]:
        for word in words:
            if word not in FAILURES and not (word.isupper() and hasattr(errno, word)):
                raise ValueError(
                    f"{word!r} is no error: take an errno name such as EIO, or {', '.join(FAILURES)}"
                )
        return words


class ImportStep(Act):
    """Import an image: per layer prepare, write (or unpack), commit; layers are NAME-1, NAME-2, ..."""

    do: Literal["import"]
    name: FileName = "layer"
    parent: str = ""
    """Put the first layer on this committed snapshot: layers that images share."""
    layers: Count = 1
    size: Size = 0
    """Bytes in all, shared out over the layers; each layer's files are called as the layer."""
    image: str = ""
    """An archive or layout to import instead; relative to the scenario's file."""


class PrepareStep(Act):
    """Make an active snapshot."""

    do: Literal["prepare"]
    key: str
    parent: str = ""


class ViewStep(Act):
    """Make a read-only snapshot."""

    do: Literal["view"]
    key: str
    parent: str


class WriteStep(Act):
    """Write new files in an active snapshot."""

    do: Literal["write"]
    key: str
    name: FileName = "data"
    """What these files are called in later steps."""
    size: Size


class OverwriteStep(Act):
    """Write the first bytes of files anew, in place: sharing with the parent is broken."""

    do: Literal["overwrite"]
    key: str
    name: FileName = "data"
    size: Size


class DeleteStep(Act):
    """Delete files in an active snapshot."""

    do: Literal["delete"]
    key: str
    name: FileName = "data"


class RunStep(Act):
    """Work as a container: new files of *size* bytes, an eighth more deleted again, others overwritten."""

    do: Literal["run"]
    key: str
    size: Size


class TrimStep(Act):
    """Run fstrim in an active snapshot."""

    do: Literal["trim"]
    key: str


class CommitStep(Act):
    """Turn an active snapshot into a committed one."""

    do: Literal["commit"]
    key: str
    name: str


class RemoveStep(Act):
    """Remove a snapshot."""

    do: Literal["remove"]
    key: str


class CleanupStep(Act):
    """Call the snapshotter's cleanup, as containerd's collector does."""

    do: Literal["cleanup"]


class RestartStep(Act):
    """Start the snapshotter again on what is on disk: after a crash, or close it first."""

    do: Literal["restart"]


class CrashStep(Step):
    """End the snapshotter, as kill -9 would, in the midst of a verb.

    *at* is what it does to a device; ``create`` and ``delete`` are messages to the pool.
    """

    do: Literal["crash"]
    during: Literal["prepare", "commit", "remove", "cleanup"]
    key: str = ""
    parent: str = ""
    name: str = ""
    when: Literal["before", "after"]
    at: Literal["mkfs", "create", "activate", "suspend", "resume", "discard", "deactivate", "delete"]


class HoldStep(Act):
    """Keep a snapshot's device open, as a probe or a mount in another namespace does."""

    do: Literal["hold"]
    key: str
    until: Literal["", "deactivate", "delete"] = ""
    """Let go right before the snapshotter next does this to the device; else at ``release``."""


class ReleaseStep(Step):
    """Let go of a device that ``hold`` keeps."""

    do: Literal["release"]
    key: str


def _fault(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    try:
        Fault.from_json(dict(value), "fault")
    except FaultPlanError as error:
        raise ValueError(str(error).removeprefix("fault: ")) from None
    return dict(value)


class FaultsStep(Step):
    """Put planned faults of the backing store in force instead of any others; none clears."""

    do: Literal["fault"]
    plan: list[Annotated[dict[str, Any], BeforeValidator(_fault)]] = Field(default_factory=list)
    """Entries as in a plan of ``fuse-backing faults set``; of the data file."""


class AssertStep(Step):
    """What must hold now. Sizes are of the moment; freed and punches are of the phase so far."""

    do: Literal["assert"]
    why: str = ""
    """Printed with the outcome."""
    leaked: Bound | None = None
    """Bytes allocated on the host that no mapping needs."""
    leaked_by: list[str] | None = None
    """Exactly these snapshots leak."""
    reasons: list[str] | None = None
    """Exactly these reasons are given for all that leaks: ``off``, ``not_active``, ``shared``, ..."""
    host_allocated: Bound | None = None
    host_freed: Bound | None = None
    pool_used: Bound | None = None
    pool_freed: Bound | None = None
    punches: Bound | None = None
    """Hole punches that the store has seen."""
    thin_devices: int | None = None
    """Thin ids that the pool has."""
    snapshots: list[str] | None = None
    """Exactly these snapshots are in the snapshotter's store."""
    pool_mode: Literal["rw", "ro", "out_of_data_space"] | None = None


AnyStep: TypeAlias = Annotated[
    ImportStep
    | PrepareStep
    | ViewStep
    | WriteStep
    | OverwriteStep
    | DeleteStep
    | RunStep
    | TrimStep
    | CommitStep
    | RemoveStep
    | CleanupStep
    | RestartStep
    | CrashStep
    | HoldStep
    | ReleaseStep
    | FaultsStep
    | AssertStep,
    Field(discriminator="do"),
]

STEPS: Mapping[str, type[Step]] = {
    get_args(model.model_fields["do"].annotation)[0]: model for model in get_args(get_args(AnyStep)[0])
}
"""Models by the word that ``do`` takes."""
