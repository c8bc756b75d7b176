"""A `Scenario` is the content of a scenario file; `json_schema` describes it for editors."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator
from pydantic_core import PydanticKnownError

from thinsim.rig.registry import AUTO, rig_names
from thinsim.rig.shape import PoolShape
from thinsim.scenario.file.steps.registry import AnyStep
from thinsim.scenario.file.values import Count, Size, Strict
from thinsim.snapshotter.retry import CONTAINERD_RETRY
from thinsim.thin.table import MAX_FEATURE_ARGUMENTS, Feature
from thinsim.units import Bytes, sectors

OWN_KEYS = ("root_path", "pool_name")
"""The run chooses these keys of the snapshotter."""

_DEFAULT = PoolShape("")
_FEATURES: tuple[Feature, ...] = ("skip_block_zeroing",)
_MOST_BLOCKS = (1 << 64) - 1
"""The largest number that the kernel reads in a table (kstrtoull)."""
_BASE_IMAGE_SIZE = "256MB"


_RIG_WORDS = (AUTO, *rig_names())


def _rig_word(value: str) -> str:
    if value not in _RIG_WORDS:
        *others, last = map(repr, _RIG_WORDS)
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(others)} or {last}"})
    return value


RigWord = Annotated[str, AfterValidator(_rig_word), WithJsonSchema({"enum": [*_RIG_WORDS], "type": "string"})]
"""The name of a rig, or ``auto``."""


class ScenarioPool(Strict, title="Pool"):
    """The thin pool is new for each variant."""

    data_size: Size = _DEFAULT.data_size
    """Size of the data device: a multiple of 512 bytes, at least one data block."""
    metadata_size: Size = _DEFAULT.metadata_size
    """Size of the metadata device: a multiple of 512 bytes, large enough for an empty pool."""
    block_size: Size = _DEFAULT.block_bytes
    """Size of a data block: a multiple of 64 KiB, at most 1 GiB."""
    low_water_blocks: int = Field(default=0, ge=0, le=_MOST_BLOCKS)
    """The pool sends an event once this many free data blocks or fewer remain."""
    features: list[Feature] = Field(default_factory=lambda: list(_FEATURES), max_length=MAX_FEATURE_ARGUMENTS)
    """Feature arguments of the pool's table, in the kernel's words. `read_only` is refused."""

    @field_validator("data_size", "metadata_size", "block_size")
    @classmethod
    def _whole_sectors(cls, size: int) -> int:
        if not size or size % 512:
            raise ValueError(f"must be a multiple of 512 above 0, not {size}")
        return size

    @field_validator("block_size")
    @classmethod
    def _block(cls, size: int) -> int:
        if not 64 << 10 <= size <= 1 << 30 or size % (64 << 10):
            raise ValueError(f"a data block is a multiple of 64 KiB, at most 1 GiB, not {size} bytes")
        return size

    def shape(self, name: str) -> PoolShape:
        """Return the shape of the pool to create as *name*."""
        return PoolShape(
            name,
            Bytes(self.data_size),
            Bytes(self.metadata_size),
            sectors(self.block_size),
            self.low_water_blocks,
            tuple(self.features),
        )


class Retry(Strict):
    """The snapshotter retries while a device is busy."""

    tries: Count = CONTAINERD_RETRY.busy.tries
    """The number of tries."""
    interval: float = Field(default=CONTAINERD_RETRY.busy.interval, ge=0, allow_inf_nan=False)
    """Seconds between two tries."""


class Variant(Strict):
    """A variant runs the same phases with other settings of the snapshotter: a column of the comparison."""

    name: str = Field(min_length=1)
    """The name that tables, reports and `only` use. It must be unique."""
    snapshotter: dict[str, Any] = Field(default_factory=dict)
    """Keys of `[snapshotter]` that this variant sets; they take precedence over the file's."""


class ScenarioPhase(Strict, title="Phase"):
    """A phase is a named group of steps. Plots and tables show its name."""

    name: str = Field(min_length=1)
    """The name that tables, reports and `same_as` use. It must be unique."""
    repeat: Count = 1
    """The steps run this many times; `{n}` in their texts is the number of the repetition, from 1."""
    steps: list[AnyStep] = Field(min_length=1)
    """The steps, in the order in which they run."""


class Scenario(Strict):
    """A scenario file describes what is done to a snapshotter and what must come of it."""

    format: Literal[1] = 1
    """The version of the format. It rises when a key changes its meaning or is removed."""
    title: str = Field(min_length=1)
    """One line that describes the scenario; reports show it."""
    containerd_does: str = ""
    """The behaviour of containerd that the scenario shows, for people."""
    it_should: str = ""
    """The behaviour that the scenario asks for instead, for people."""
    rig: RigWord = AUTO
    """The rig that runs the scenario, unless `--rig` names another."""
    pool: ScenarioPool = ScenarioPool()
    """The thin pool that each variant gets."""
    snapshotter: dict[str, Any] = Field(default_factory=dict)
    """The snapshotter's settings for all variants."""
    retry: Retry = Retry()
    """The retries while a device is busy."""
    variant: list[Variant] = Field(default_factory=list)
    """The columns of the comparison. Without any, the file runs once."""
    phase: list[ScenarioPhase] = Field(min_length=1)
    """The phases, in the order in which they run."""

    @property
    def variants(self) -> list[Variant]:
        """Return the variants, or one without changes if the file has none."""
        return self.variant or [Variant(name="as it is")]  # words: quoted

    def snapshotter_keys(self, variant: Variant) -> dict[str, Any]:
        """Return the table of the snapshotter for *variant*, with the keys that containerd's plugin has."""
        return {"base_image_size": _BASE_IMAGE_SIZE, **self.snapshotter, **variant.snapshotter}


def steps_of(phase: ScenarioPhase, variant: str) -> list[tuple[int, AnyStep]]:
    """Return the steps of *variant*, repeated and with ``{n}`` replaced.

    Each step has its position in the list of the phase, from 0.
    """
    return [
        (position, _numbered(step, number))
        for number in range(1, phase.repeat + 1)
        for position, step in enumerate(phase.steps)
        if not step.only or variant in step.only
    ]


def _numbered(step: AnyStep, number: int) -> AnyStep:
    changed = {
        name: value.replace("{n}", str(number))
        for name, value in step
        if isinstance(value, str) and "{n}" in value
    }
    return step.model_copy(update=changed) if changed else step


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of scenario files, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Scenario.model_json_schema()}
