"""`rig_portal` checks the settings of a test's pool and snapshotter, and starts a rig with them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from thinsim.did_you_mean import unknown_name
from thinsim.errors import EnvironmentLacksError, InvalidValueError
from thinsim.machine.programs import complete_path
from thinsim.machine.recovery import recover_abandoned
from thinsim.machine.working_directory import working_directory
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import AUTO, HERE, choose_rig, probe_machine, rig_names
from thinsim.scenario.file.complaints import problem
from thinsim.scenario.file.document import OWN_KEYS, ScenarioPool
from thinsim.scenario.file.meaning import meaning_problems
from thinsim.scenario.file.session import ScenarioSession, session
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.retry import CONTAINERD_RETRY
from thinsim.testing.portal import Portal

__tracebackhide__ = True
"""pytest shows a failure at the test's own line."""


class _Silent:
    def say(self, text: str) -> None: ...

    def step(self, phase: str, step: str) -> None: ...


def rig_portal(
    rig: str, pool: Mapping[str, Any], keys: Mapping[str, Any], directory: Path
) -> Portal[ScenarioSession]:
    """Return a portal that starts *rig* (or ``auto``) in *directory*, after cleaning up after killed runs.

    *pool* has the keys of a scenario file's ``[pool]``, *keys* those of the snapshotter. InvalidValueError
    for a wrong key, EnvironmentLacksError for a rig that can't run here.
    """
    shape_of = _pool(pool).shape
    _check_snapshotter(keys)
    check_rig(rig)
    complete_path()
    recover_abandoned(_Silent().say)
    running = _chosen(rig, directory).running
    assert running is not None, "every rig of HERE runs here"

    @asynccontextmanager
    async def opened_session() -> AsyncIterator[ScenarioSession]:
        async with working_directory(directory, _Silent().say) as (below, journal):
            shape = shape_of(f"thinsim-{journal.path.stem}")
            async with (
                running(below, shape, journal) as started,
                session(started, keys, CONTAINERD_RETRY, _Silent(), below / "snapshotter") as opened,
            ):
                yield opened

    return Portal(opened_session)


def check_rig(word: str) -> None:
    """Raise InvalidValueError unless *word* is ``auto`` or a rig that runs on this machine."""
    known = (AUTO, *rig_names(HERE))
    if word in rig_names() and word not in known:
        raise InvalidValueError(
            f"rig {word!r} runs in a guest, but the pool of a test is on this machine (fix: use one of "
            f"{', '.join(known)})"
        )
    if word not in known:
        raise InvalidValueError(unknown_name("rig", word, known))


def _chosen(word: str, directory: Path) -> RigRecord:
    try:
        return choose_rig(word, probe_machine(directory)).rig
    except EnvironmentLacksError as error:
        fix = (
            f"\n  (fix: --thinsim-rig {AUTO} uses the best rig that this machine can run)"
            if word != AUTO
            else ""
        )
        raise EnvironmentLacksError(f"{error}{fix}") from None


def config_keys(file: Path) -> dict[str, Any]:
    """Return the settings in a TOML file or in containerd's config.toml. InvalidConfigError."""
    return {key: value for key, value in asdict(Config.load(file)).items() if key not in OWN_KEYS}


def _pool(keys: Mapping[str, Any]) -> ScenarioPool:
    """Return the pool of the mark ``thin_pool``. InvalidValueError with every problem of its keys."""
    try:
        pool = ScenarioPool.model_validate(dict(keys))
    except ValidationError as error:
        problems = [_pool_problem(keys, dict(each)) for each in error.errors(include_url=False)]
    else:
        problems = [f"{place[-1]}: {text}" for place, text in meaning_problems({"pool": dict(keys)}, None)]
    if problems:
        raise InvalidValueError("mark thin_pool: " + "; ".join(dict.fromkeys(problems)))
    return pool


def _pool_problem(keys: Mapping[str, Any], error: dict[str, Any]) -> str:
    key, value = str(error["loc"][0]), error["input"]
    if error["type"] == "extra_forbidden":
        return unknown_name("key", key, ScenarioPool.model_fields)
    if error["type"] == "list_type":
        fix = f" (fix: write {key}=[{value!r}])" if isinstance(value, str) else ""
        return f"{key} must be a list, not {value!r}{fix}"
    _, text = problem({"pool": keys}, {**error, "loc": ("pool", *error["loc"])})
    return f"{key}: {text}"


def _check_snapshotter(keys: Mapping[str, Any]) -> None:
    """Raise InvalidValueError with every problem of the mark ``snapshotter``."""
    own = [key for key in OWN_KEYS if key in keys]
    if own:
        raise InvalidValueError(
            f"mark snapshotter: thinsim chooses {' and '.join(own)} for each test (fix: remove the key)"
        )
    Config.from_table({**keys, "root_path": "/", "pool_name": "pool"}, "mark snapshotter")
