"""The tables of rigs, subjects, settings and device-mapper targets are the lists of the code."""

import inspect
import tempfile
from pathlib import Path

from thinsim.dm.emulator.targets.registry import TARGET_TYPES
from thinsim.dm.emulator.targets.target_type import TargetType
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import RIGS
from thinsim.scenario.container_lifecycle import Setting
from thinsim.scenario.reproduce import SUBJECTS
from tools.reference_pages.markdown import code, prose, table

_MARKS = {
    "singleton": "alone in its table",
    "always_writable": "in no read-only table",
    "immutable": "replaced by no other type",
    "wildcard": "replaces any other type",
}


def rig_table() -> str:
    """Return the table of rigs, best first."""
    rows = [(code(rig.name), rig.pool, _guest(rig), rig.best_for) for rig in RIGS]
    return table(("rig", "pool", "`auto` takes it", "best for"), rows)


def need_table() -> str:
    """Return what each rig must find on the machine, in the words of ``thinsim doctor``."""
    return table(("rig", "required", "optional"), [(code(rig.name), *_needs(rig)) for rig in RIGS])


def setting_table() -> str:
    """Return the table of settings, with the keys of the snapshotter that each sets and its subjects."""
    known = {setting.slug: setting for settings in SUBJECTS.values() for setting in settings}
    rows = [
        (code(slug), ", ".join(_keys(setting)), ", ".join(_subjects(slug))) for slug, setting in known.items()
    ]
    return table(("setting", "keys of the snapshotter", "subjects"), rows)


def target_table() -> str:
    """Return the table of targets, in the order of ``dmsetup targets``."""
    rows = [
        (code(each.name), ".".join(map(str, each.version)), _of_module(each), _limits(each))
        for each in TARGET_TYPES
    ]
    return table(("target", "version", "description", "limits"), rows)


def _guest(rig: RigRecord) -> str:
    return "yes" if rig.chosen_by_auto else "no"


def _keys(setting: Setting) -> list[str]:
    shown = [code(f"discard_blocks = {str(setting.discard_blocks).lower()}")]
    others = (name for name in ("discard_committed", "async_remove") if getattr(setting, name))
    return [*shown, *(code(f"{name} = true") for name in others)]


def _subjects(slug: str) -> list[str]:
    return [code(name) for name, settings in SUBJECTS.items() if slug in {each.slug for each in settings}]


def _needs(rig: RigRecord) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as directory:
        found = [
            (need.required, finding.name.replace(directory, "the directory"))
            for need in rig.needs
            for finding in need.look(Path(directory))
        ]
    return tuple(", ".join(name for needed, name in found if needed is kind) for kind in (True, False))  # type: ignore[return-value]


def _of_module(kind: TargetType) -> str:
    module = inspect.getmodule(kind.target)
    return prose((module.__doc__ if module else None) or "").split("\n\n")[0]


def _limits(kind: TargetType) -> str:
    return "; ".join(words for mark, words in _MARKS.items() if getattr(kind, mark))
