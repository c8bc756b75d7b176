"""A docstring has a subject and a verb, begins with an order for a function, and is no empty talk."""

import ast
import re
from collections.abc import Iterable, Iterator

from tools.plain_english.verbs import begins_with_a_verb, lacks_subject_or_verb

MOST_WORDS = 20
"""A module's first sentence has at most this many words."""

_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def first_sentence(docstring: str) -> str:
    """Return the first sentence of *docstring* in one line."""
    return " ".join(re.split(r"(?<=[.;])\s+(?=[A-Z`\"*])|\n\n", docstring, maxsplit=1)[0].split())


def protocol_methods(trees: Iterable[ast.Module]) -> frozenset[str]:
    """Return the names of methods that Protocols and abstract classes of *trees* document.

    An implementation needs no docstring of its own.
    """
    return frozenset(
        member.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for member in node.body
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(member)
        if any("Protocol" in ast.unparse(base) or ast.unparse(base) == "ABC" for base in node.bases)
        or any("abstractmethod" in ast.unparse(decorator) for decorator in member.decorator_list)
    )


def docstring_faults(
    tree: ast.Module, documented: frozenset[str], *, required: bool
) -> Iterator[tuple[int, str, str]]:
    """Yield line, words and advice for each docstring of *tree* out of form.

    *required*: public methods without a docstring count as well, unless their name is in *documented*.
    """
    for node in ast.walk(tree):
        if isinstance(node, _Documented):
            line = getattr(node, "lineno", 1)
            if docstring := ast.get_docstring(node):
                sentence = first_sentence(docstring)
                if advice := _form(node, sentence):
                    yield line, sentence[:60], advice
        if required and isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                if (
                    isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
                    and not member.name.startswith("_")
                    and member.name not in documented
                    and not ast.get_docstring(member)
                    and not any(
                        "overload" in ast.unparse(item) or ".setter" in ast.unparse(item)
                        for item in member.decorator_list
                    )
                ):
                    yield member.lineno, member.name, "write a docstring"


def _form(node: _Documented, sentence: str) -> str:
    if isinstance(node, ast.Module):
        if len(sentence.split()) > MOST_WORDS:
            return f"write at most {MOST_WORDS} words"
        return lacks_subject_or_verb(sentence)
    if isinstance(node, ast.ClassDef):
        # A step of scenario files is an order, and the reference lists it as one.
        is_order = node.name.endswith("Step") and begins_with_a_verb(sentence)
        return "" if is_order else lacks_subject_or_verb(sentence)
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if any(
        "fixture" in decorator or "command" in decorator or "group" in decorator for decorator in decorators
    ):
        return ""
    if node.name.startswith("test_") or node.name.startswith("__"):
        return ""
    return "" if begins_with_a_verb(sentence) else "begin with the verb: Return, Write, Check"
