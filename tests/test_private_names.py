"""No file uses a private name of another one, so private names may change freely.

If a test has to look inside, the class has ``statistics()``, as in trio, or a public property.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.repository import REPOSITORY, TESTS

NOT_PRIVATE = {"os._exit", "_replace", "_asdict", "_fields", "_make"}
"""Names that are public by their documentation."""


THE_EXTENSION = ("fuse_backing/extension.py", "import of _native")
"""The C extension has the name of a private module; one file loads it."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def private_uses(source: str) -> Iterator[str]:
    """Yield ``line: use`` for each private name of another file that *source* uses."""
    tree = ast.parse(source)
    own = {"self", "cls"} | {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    defined = set(_names_given(tree))
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=value, attr=name) if is_private(name):
                whole = ast.unparse(node)
                of_own = isinstance(value, ast.Name) and value.id in own
                if not (of_own or name in defined or whole in NOT_PRIVATE or name in NOT_PRIVATE):
                    yield f"{node.lineno}: {whole}"
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                module = (getattr(node, "module", None) or "").split(".")
                parts = [*module, *(part for alias in names for part in alias.name.split("."))]
                yield from (f"{node.lineno}: import of {part}" for part in parts if is_private(part))
            case ast.Call(func=function, args=arguments):
                called = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
                words = arguments[:2] if called in ("getattr", "setattr", "delattr") else []
                paths = [word.value for word in words if isinstance(word, ast.Constant)]
                parts = [part for path in paths for part in str(path).split(".")]
                yield from (f"{node.lineno}: {called} of {part}" for part in parts if is_private(part))


def _names_given(tree: ast.Module) -> Iterator[str]:
    """Yield the names that the file's own classes and functions define."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Attribute(value=ast.Name("self" | "cls"), attr=name, ctx=ast.Store()):
                yield name


def test_a_test_uses_no_private_name_of_another_file() -> None:
    files = {path.relative_to(TESTS).as_posix(): path for path in sorted(TESTS.rglob("*.py"))}
    uses = {name: list(private_uses(path.read_text())) for name, path in files.items()}
    assert {name: found for name, found in uses.items() if found} == {}


@pytest.mark.parametrize("package", ["thinsim", "fuse_backing", "benchmarks"])
def test_a_module_uses_no_private_name_of_another_file(package: str) -> None:
    paths = sorted((REPOSITORY / package).rglob("*.py"))
    files = {
        path.relative_to(REPOSITORY).as_posix(): path for path in paths if not path.stem.endswith("_pb2")
    }
    uses = {
        (name, use.partition(": ")[2])
        for name, path in files.items()
        for use in private_uses(path.read_text())
    }
    assert uses - {THE_EXTENSION} == set()


@pytest.mark.parametrize(
    ("source", "use"),
    [
        ("pool._map", "1: pool._map"),
        ("pool._map[3].size", "1: pool._map"),
        ("from thinsim.thin.pool import _map", "1: import of _map"),
        ("from fuse_backing._load import session", "1: import of _load"),
        ("import fuse_backing._load", "1: import of _load"),
        ("patch.setattr(pool, '_SECONDS', 1)", "1: setattr of _SECONDS"),
        ("patch.setattr('thinsim.thin.pool._SECONDS', 1)", "1: setattr of _SECONDS"),
        ("patch.delattr(pool, '_map')", "1: delattr of _map"),
        ("getattr(pool, '_map')", "1: getattr of _map"),
        ("patch.setitem(pool._UNDO, 'a', 1)", "1: pool._UNDO"),
    ],
)
def test_each_way_to_a_private_name_is_seen(source: str, use: str) -> None:
    assert list(private_uses(source)) == [use]


@pytest.mark.parametrize(
    "source",
    [
        "os._exit(0)",
        "run._replace(shared=False)",
        "pool.__class__",
        "class Pool:\n    def size(self):\n        return self._map",
        "class Pool:\n    def __init__(self):\n        self._map = 1\n    def __eq__(self, other):\n"
        "        return self._map == other._map",
    ],
)
def test_own_and_public_names_are_allowed(source: str) -> None:
    assert list(private_uses(source)) == []
