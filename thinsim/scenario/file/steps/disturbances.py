"""`HoldStep` keeps a device open, and `FaultsStep` plans faults of the store, to disturb a removal."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fuse_backing.errors import FaultPlanError
from fuse_backing.faults import Fault, FaultPlan
from thinsim.did_you_mean import unknown_name
from thinsim.scenario.file.known_snapshots import KnownSnapshots, Refusal
from thinsim.scenario.file.steps.step import Act, RunningVariant, Step


class HoldStep(Act):
    """A `hold` step keeps a snapshot's device open, as a probe or a mount in another namespace does."""

    do: Literal["hold"]
    key: str
    """The key or name of the snapshot."""
    until: Literal["", "deactivate", "delete"] = ""
    """The act right before which the device is released; without it, `release` releases it."""

    async def act(self, run: RunningVariant) -> None:
        await run.session.hold(self.key, self.until)

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        return known.refuse_use(self.key)

    def expect(self, known: KnownSnapshots) -> None:
        known.held[self.key] = not self.until


class ReleaseStep(Step):
    """Close a device that `hold` keeps open."""

    do: Literal["release"]
    key: str
    """The key or name that `hold` was given."""

    async def take(self, run: RunningVariant) -> None:
        with run.failing_by_phase():
            run.session.release(self.key)

    @property
    def needs_snapshotter(self) -> bool:
        return False

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        if self.key in known.held:
            return None
        return Refusal(("key",), unknown_name("held device", self.key, known.held))

    def expect(self, known: KnownSnapshots) -> None:
        known.held.pop(self.key, None)


def _fault(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    try:
        Fault.from_json(dict(value), "fault")
    except FaultPlanError as error:
        raise ValueError(str(error).removeprefix("fault: ")) from None
    return dict(value)


class FaultsStep(Step):
    """Replace the planned faults of the backing store."""

    do: Literal["fault"]
    plan: list[Annotated[dict[str, Any], BeforeValidator(_fault)]] = Field(default_factory=list)
    """Faults of the data file, with the keys of a `[[fault]]` of `fuse-backing faults set`. Empty: none."""

    async def take(self, run: RunningVariant) -> None:
        await run.session.set_faults(FaultPlan.from_json(self.plan) if self.plan else FaultPlan())

    @property
    def needs_snapshotter(self) -> bool:
        return False
