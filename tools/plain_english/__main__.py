"""The command lists faults of words and docstrings; its exit status is 1 when it finds any."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.plain_english.docstrings import docstring_faults, protocol_methods
from tools.plain_english.faults import faults_in
from tools.plain_english.passages import passages_of

REPOSITORY = Path(__file__).resolve().parents[2]
READ = {".py", ".md", ".c", ".h", ".toml", ".yml", ".sh"}
NAMES = {"Makefile", "run"}
PUBLIC = ("thinsim/", "fuse_backing/")
"""Public methods below these have a docstring."""

ITSELF = ("tools/plain_english/faults.py", "tests/docs/test_plain_english.py", "_pb2.py")
"""These files have to quote faults, or are generated."""


def sources(chosen: list[str]) -> Iterator[Path]:
    """Yield the repository's files with words to read; with *chosen* paths, those below them alone."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *chosen]
    listed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        path = REPOSITORY / name
        readable = path.suffix in READ or path.name in NAMES
        if readable and path.is_file() and not name.endswith(ITSELF):
            yield path


def faults_of(path: Path, tree: ast.Module | None, documented: frozenset[str]) -> list[tuple[int, str, str]]:
    """Return line, words and advice of each fault of a file; *tree* is that of a Python file."""
    name = str(path.relative_to(REPOSITORY))
    found = {
        (passage.line, words, advice)
        for passage in passages_of(path, messages=not name.startswith("tests/"))
        for words, advice in faults_in(passage.text)
    }
    if tree is not None:
        found |= set(docstring_faults(tree, documented, required=name.startswith(PUBLIC)))
    return sorted(found)


def main() -> int:
    """Print each fault as ``file:line: words: advice``; return the exit status."""
    trees = {path: ast.parse(path.read_text()) for path in sources([]) if path.suffix == ".py"}
    documented = protocol_methods(trees.values())
    count = 0
    for path in sources(sys.argv[1:]):
        found = faults_of(path, trees.get(path), documented)
        for line, words, advice in found:
            print(f"{path.relative_to(REPOSITORY)}:{line}: {words!r}: {advice}")
        count += len(found)
    if count:
        print(f"{count} faults; CONTRIBUTING.md, Plain English, has the rules", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
