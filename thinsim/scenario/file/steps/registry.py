"""`STEPS` lists the kinds of steps. A new one is a class and a line here."""

from collections.abc import Mapping
from typing import Annotated, TypeAlias, get_args

from pydantic import Field

from thinsim.scenario.file.steps.asserting import AssertStep
from thinsim.scenario.file.steps.disturbances import FaultsStep, HoldStep, ReleaseStep
from thinsim.scenario.file.steps.files import DeleteStep, OverwriteStep, RunStep, TrimStep, WriteStep
from thinsim.scenario.file.steps.images import ImportStep
from thinsim.scenario.file.steps.reclaiming import ReclaimStep
from thinsim.scenario.file.steps.snapshots import (
    CleanupStep,
    CommitStep,
    CrashStep,
    PrepareStep,
    RemoveStep,
    RestartStep,
    ViewStep,
)
from thinsim.scenario.file.steps.step import Step

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
    | ReclaimStep
    | AssertStep,
    Field(discriminator="do"),
]

STEPS: Mapping[str, type[Step]] = {
    get_args(model.model_fields["do"].annotation)[0]: model for model in get_args(get_args(AnyStep)[0])
}
"""The class of each step by its ``do`` word."""
