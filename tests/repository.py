"""`REPOSITORY` is the directory of the project, `TESTS` that of its tests."""

from pathlib import Path

TESTS = Path(__file__).parent
REPOSITORY = TESTS.parent
