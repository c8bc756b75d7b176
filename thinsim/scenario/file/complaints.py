"""`problem` turns an error of pydantic about a scenario file into a message in the words of TOML."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from thinsim.did_you_mean import did_you_mean, unknown_name
from thinsim.scenario.file.document import Retry, Scenario, ScenarioPhase, ScenarioPool, Variant
from thinsim.scenario.file.steps.registry import STEPS
from thinsim.scenario.file.values import AmountLimits

Place = Sequence[str | int]
Complaint = tuple[Place, str]
"""A place in the document, and a message about the mistake there."""

_TYPES = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "list_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": 'a table such as { do = "prepare", key = "a" }',
}
_TABLES: Mapping[str, type[BaseModel]] = {"pool": ScenarioPool, "retry": Retry}
_ARRAYS: Mapping[str, type[BaseModel]] = {"variant": Variant, "phase": ScenarioPhase}


def problem(document: Mapping[str, Any], error: Mapping[str, Any]) -> Complaint:
    """Return the place of a pydantic *error* in *document*, and a message for a writer of TOML."""
    place = _place(document, error["loc"])
    kind, value = error["type"], error["input"]
    match kind:
        case "missing":
            return place, "is missing"
        case "extra_forbidden":
            return place, "unknown key" + did_you_mean(str(place[-1]), _known_keys(document, place))
        case "union_tag_not_found":
            return [*place, "do"], "is missing: it names the kind of the step"
        case "union_tag_invalid":
            return [*place, "do"], unknown_name("step", error["ctx"]["tag"], STEPS)
        case "literal_error":
            expected = error["ctx"]["expected"]
            known = re.findall("'([^']*)'", expected)
            return place, f"must be {expected}, not {toml(value)}{did_you_mean(str(value), known)}"
        case "string_too_short" | "too_short":
            return place, "must not be empty"
        case "too_long":
            return place, f"must have {error['ctx']['max_length']} entries at most"
        case "greater_than_equal":
            return place, f"must be {error['ctx']['ge']:g} or more, not {toml(value)}"
        case "less_than_equal":
            return place, f"must be {error['ctx']['le']} or less, not {toml(value)}"
        case "value_error":
            return place, str(error["ctx"]["error"])
    if kind not in _TYPES:  # a new version of pydantic may have new errors
        return place, str(error["msg"])
    return place, f"must be {_TYPES[kind]}{_brackets(place, value) or f', not {toml(value)}'}"


def toml(value: object) -> str:
    """Return *value* in TOML's notation; a table or an array only as its type."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return repr(value)
        case dict():
            return "a table"
        case list():
            return "an array"
        case float() if not math.isfinite(value):
            return f"{value:g}"
    return str(value)


def _place(document: object, location: Sequence[str | int]) -> list[str | int]:
    """Return the path in *document* of a pydantic location, which has the kind of a step as well."""
    path: list[str | int] = []
    here = document
    for part in location:
        if isinstance(here, dict) and (part in here or part != here.get("do")):
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int):
            here = here[part]
        else:
            continue
        path.append(part)
    return path


def _brackets(place: Place, value: object) -> str:
    """Return the fix for a table in the place of an array of tables, or for the reverse."""
    name = place[-1]
    if name in _ARRAYS and isinstance(value, dict):
        return f" of tables: write [[{name}]], not [{name}]"
    if len(place) == 1 and isinstance(value, list) and name in (*_TABLES, "snapshotter"):
        return f": write [{name}], not [[{name}]]"
    return ""


def _known_keys(document: Mapping[str, Any], place: Place) -> list[str]:
    match place:
        case [_]:
            model: type[BaseModel] | None = Scenario
        case [str(table), _] if table in _TABLES:
            model = _TABLES[table]
        case [str(array), int(), _]:
            model = _ARRAYS[array]
        case ["phase", int(phase), "steps", int(step), _]:
            model = STEPS.get(document["phase"][phase]["steps"][step].get("do"))
        case _:
            model = AmountLimits
    return list(model.model_fields) if model else []
