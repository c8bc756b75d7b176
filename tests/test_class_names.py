"""One public class name has one meaning in the whole tree, its tests, tools and benchmarks included."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.repository import REPOSITORY

FOLDERS = ("thinsim", "fuse_backing", "tests", "tools", "benchmarks", "examples")


def source_files() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if not path.stem.endswith("_pb2"):  # generated
                yield path


def public_classes(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def type_aliases(source: str) -> Iterator[str]:
    """Yield the public names in capitals and small letters that a module gives to a type, or to a value."""
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else getattr(node, "target", None)
        for target in targets if isinstance(targets, list) else [targets]:
            name = target.id if isinstance(target, ast.Name) else ""
            if name[:1].isupper() and not name.isupper():
                yield name


def defined_more_than_once(sources: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the public class names that *sources*, file names and texts, define in more than one place."""
    places = defaultdict(list)
    for file, source in sources:
        for name in public_classes(source):
            places[name].append(file)
    return {name: files for name, files in places.items() if len(files) > 1}


def test_a_public_class_name_is_defined_once_in_the_tree() -> None:
    sources = ((str(path.relative_to(REPOSITORY)), path.read_text()) for path in source_files())
    assert defined_more_than_once(sources) == {}


def test_a_type_alias_has_not_the_name_of_a_class() -> None:
    files = {str(path.relative_to(REPOSITORY)): path.read_text() for path in source_files()}
    classes = {name for source in files.values() for name in public_classes(source)}
    taken = {file: classes & set(type_aliases(source)) for file, source in files.items()}
    assert {file: names for file, names in taken.items() if names} == {}


def test_every_form_of_a_type_alias_is_seen() -> None:
    source = (
        "Range = tuple[int, int]\nStep: TypeAlias = int\n_T = TypeVar('_T')\nSIZE: int = 4\nMiB = 1 << 20"
    )
    assert list(type_aliases(source)) == ["Range", "Step", "MiB"]


def test_a_name_that_is_defined_twice_is_found_anywhere() -> None:
    twice = "class Pool: ...\ndef make():\n    class Pool: ...\nclass _Pool: ..."
    assert defined_more_than_once([("a.py", twice)]) == {"Pool": ["a.py", "a.py"]}
    assert defined_more_than_once([("a.py", "class Pool: ..."), ("b.py", "class Pool: ...")]) == {
        "Pool": ["a.py", "b.py"]
    }
    assert defined_more_than_once([("a.py", "class Pool: ..."), ("b.py", "class _Pool: ...")]) == {}
