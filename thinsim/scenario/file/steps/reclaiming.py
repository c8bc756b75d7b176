"""A `ReclaimStep` frees on the host what the pool has freed."""

from typing import Literal

from thinsim.scenario.file.steps.step import Act, RunningVariant


class ReclaimStep(Act):
    """Free on the host what the pool has freed, as `thinsim reclaim` does on a pool that is in use."""

    do: Literal["reclaim"]

    async def act(self, run: RunningVariant) -> None:
        await run.session.reclaim()

    @property
    def needs_snapshotter(self) -> bool:
        return False
