"""The keys of scenario files are the fields of the classes that parse them."""

from typing import Any

from pydantic_core import to_jsonable_python

from thinsim.measure.attribution import reason_words
from thinsim.rig.registry import AUTO, rig_names
from thinsim.scenario.file.document import Retry, RigWord, Scenario, ScenarioPhase, ScenarioPool, Variant
from thinsim.scenario.file.steps.registry import STEPS, AnyStep
from thinsim.scenario.file.steps.step import Step
from thinsim.scenario.file.values import AmountLimits, Bound, Names, Size
from thinsim.units import format_size
from tools.reference_pages.keys import REQUIRED, Key, TypeWords, key_table, keys_of
from tools.reference_pages.markdown import code, prose, table

_TABLES: dict[str, type] = {
    "Top level": Scenario,
    "[pool]": ScenarioPool,
    "[retry]": Retry,
    "[[variant]]": Variant,
    "[[phase]]": ScenarioPhase,
}
_BELOW = {ScenarioPool: "[pool]", Retry: "[retry]", Variant: "[[variant]]", ScenarioPhase: "[[phase]]"}
_SHARED = ("do", "only", "fails")


def _link(kind: type) -> str:
    if kind in _BELOW:
        return f"table {code(_BELOW[kind])}"
    return "[limits](#limits)" if kind is AmountLimits else "step"


WORDS = TypeWords(
    _link,
    (
        (Size, "size"),
        (Size | None, "size"),
        (Bound | None, "[amount](#amounts)"),
        (Names, "text or array of text"),
        (RigWord, ", ".join(code(word) for word in (AUTO, *rig_names()))),
        (list[AnyStep], "array of [steps](#steps)"),
        (dict[str, Any], "table"),
    ),
    null=False,
)


def tables() -> str:
    """Return a section for each table of the file, with its keys."""
    return "\n".join(
        f"### {_heading(name)}\n\n{prose(kind.__doc__ or '')}\n\n{key_table(kind, WORDS, _default)}"
        for name, kind in _TABLES.items()
    )


def steps() -> str:
    """Return the keys that all steps share, and a section for each step with its own."""
    shared = {key.name: key for step in STEPS.values() for key in keys_of(step) if key.name in _SHARED}
    rows = [
        (code("do"), "text", "The word of the step. It is required."),
        *((code(name), WORDS.of(shared[name].type), shared[name].meaning) for name in _SHARED[1:]),
    ]
    sections = [f"### {code(word)}\n\n{_step(kind)}" for word, kind in STEPS.items()]
    return "\n".join([table(("key", "type", "meaning"), rows), *sections])


def limits() -> str:
    """Return the keys of an amount that is a table."""
    return key_table(AmountLimits, WORDS, _default)


def reasons() -> str:
    """Return the words that an assert's ``reasons`` takes, each with the reason that reports print."""
    return table(("word", "reason in reports"), [(code(word), text) for text, word in reason_words().items()])


def _step(kind: type[Step]) -> str:
    own = [key for key in keys_of(kind) if key.name not in _SHARED]
    refusable = any(key.name == "fails" for key in keys_of(kind))
    rows = [(code(key.name), WORDS.of(key.type), _default(key), key.meaning) for key in own]
    keys = (
        table(("key", "type", "default", "meaning"), rows) if rows else "This step has no keys of its own.\n"
    )
    return f"{prose(kind.__doc__ or '')}\n\n{keys}" + (
        "" if refusable else "\n`fails` cannot be used with this step.\n"
    )


def _heading(name: str) -> str:
    return code(name) if name.startswith("[") else name


def _default(key: Key) -> str:
    if key.default is REQUIRED:
        return "required"
    value = key.default
    if key.type == Size and value:
        return code(format_size(value).replace(" ", ""))
    if value is None or value == {} or not isinstance(value, str | int | float | list):
        return ""
    return code(_toml(value))


def _toml(value: object) -> str:
    plain = to_jsonable_python(value)
    if isinstance(plain, list):
        return f"[{', '.join(map(_toml, plain))}]"
    return f'"{plain}"' if isinstance(plain, str) else str(plain)
