"""`fault_plan` reads the faults that a test gives, and explains a mistake in them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from fuse_backing.errors import FaultPlanError
from fuse_backing.faults import STRUCK, Fault, FaultKind, FaultPlan
from thinsim.did_you_mean import did_you_mean, unknown_name
from thinsim.rig.backing import DATA_FILE, METADATA_FILE

__tracebackhide__ = True
"""pytest shows a failure at the test's own line."""

_KEYS = [field.name for field in fields(Fault)]
_WORDS: Mapping[str, Sequence[str]] = {
    "operation": [*map(str, STRUCK), "any"],
    "action": [str(kind) for kind in FaultKind],
}
_FILES = (DATA_FILE, METADATA_FILE)


def fault_plan(faults: Sequence[object]) -> FaultPlan:
    """Return the plan of *faults*, dictionaries in their order; none makes an empty plan.

    FaultPlanError names the fault by its number, the key and the values that it can have.
    """
    if len(faults) == 1 and isinstance(faults[0], list | tuple):
        raise FaultPlanError(
            "set_faults takes each fault as an argument, not a list (fix: set_faults(*faults))"
        )
    if not faults:
        return FaultPlan()
    tables = [_table(fault, f"fault {number}") for number, fault in enumerate(faults, 1)]
    try:
        return FaultPlan.from_json(tables)
    except FaultPlanError as error:
        raise error.with_traceback(None)  # noqa: B904 (the same error)


def _table(fault: object, where: str) -> dict[str, Any]:
    if not isinstance(fault, Mapping):
        example = "{'operation': 'punch', 'action': 'lie'}"
        raise FaultPlanError(f"{where} must be a dictionary such as {example}, not {fault!r}")
    # Actions and operations are also members of enums.
    table = {key: str(value) if isinstance(value, StrEnum) else value for key, value in fault.items()}
    for key in table:
        if key not in _KEYS:
            raise FaultPlanError(f"{where}: {unknown_name('key', str(key), _KEYS)}")
    for key, words in _WORDS.items():
        value = table.get(key)
        if value is not None and value not in words:
            near = did_you_mean(str(value), words)
            raise FaultPlanError(f"{where}: {key!r} is {value!r}; it must be one of {', '.join(words)}{near}")
    pattern = table.get("file", "*")
    if isinstance(pattern, str) and not any(fnmatchcase(name, pattern) for name in _FILES):
        raise FaultPlanError(f"{where}: no file has a name like {pattern!r}; there are: {', '.join(_FILES)}")
    return table
