"""The string below a field, a constant or a member of an enum is its docstring; Python keeps none of them."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType


@cache
def field_docstrings(kind: type) -> dict[str, str]:
    """Return the docstrings of the fields or members of *kind*, inherited ones included."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        try:
            source = textwrap.dedent(inspect.getsource(each))
        except (OSError, TypeError):  # of the standard library's C, and what a library makes at run time
            continue
        (body,) = (node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
        found.update(_documented(body))
    return found


def constants(module: ModuleType) -> dict[str, tuple[int, str]]:
    """Return the whole numbers of *module* by name, each with its docstring."""
    documented = dict(_documented(ast.parse(Path(str(module.__file__)).read_text()).body))
    return {
        name: (value, documented.get(name, ""))
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int)
    }


def _documented(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    for assigned, said in pairwise(body):
        match assigned, said:
            case (
                ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(ast.Constant(str(text))),
            ):
                yield name, text
