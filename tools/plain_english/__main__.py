"""``python -m tools.plain_english [PATH ...]`` lists faults of words and docstrings, and ends with status 1 at any."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.plain_english.docstrings import docstring_faults, protocol_methods
from tools.plain_english.faults import faults_in
from tools.plain_english.passages import passages_of

REPOSITORY = Path(__file__).resolve().parents[2]
READ = {".py", ".md", ".c", ".h", ".toml", ".yml", ".sh", ""}
ITSELF = ("tools/plain_english/faults.py", "tests/docs/test_plain_english.py", "_pb2.py")
"""These files have to quote faults, or are generated."""
SHOWS_BOTH = "CONTRIBUTING.md"
"""Its tables of before and after quote faults in italics."""


def sources(chosen: list[str]) -> Iterator[Path]:
    """Yield the repository's files with words to read, those below *chosen* alone if there are any."""
    listed = subprocess.run(
        ["git", "ls-files", *chosen], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        path = REPOSITORY / name
        if (
            path.suffix in READ
            and path.is_file()
            and not name.endswith(ITSELF)
            and not path.name.startswith(".")
        ):
            if path.suffix or path.name == "Makefile":
                yield path


def main() -> int:
    """Print each fault as ``file:line: words: advice``; return the exit status."""
    chosen = sys.argv[1:]
    trees = {path: ast.parse(path.read_text()) for path in sources([]) if path.suffix == ".py"}
    documented = protocol_methods(trees.values())
    count = 0
    for path in sources(chosen):
        name = str(path.relative_to(REPOSITORY))
        found = [
            (passage.line, words, advice)
            for passage in passages_of(path, messages=not name.startswith("tests/"))
            for words, advice in faults_in(passage.text)
        ]
        if path in trees:
            required = name.startswith(("thinsim/", "fuse_backing/"))
            found += docstring_faults(trees[path], documented, required=required)
        for line, words, advice in sorted(set(found)):
            print(f"{name}:{line}: {words!r}: {advice}")
        count += len(set(found))
    if count:
        print(f"{count} faults; CONTRIBUTING.md, Plain English, has the rules", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
