"""Golden texts are files of this folder's ``golden``, which tests compare with the texts of the programs.

To write them again: ``THINSIM_UPDATE_GOLDEN=1 pytest tests/cli -k golden``.
"""

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "THINSIM_UPDATE_GOLDEN"


def assert_golden(file: Path, text: str) -> None:
    """Compare *text* with a golden file, or write the file if the user asked for that."""
    if os.environ.get(UPDATE):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert file.exists(), f"{file} does not exist: write it with {UPDATE}=1"
    assert text == file.read_text(), f"{file} differs: if the new text is right, write it with {UPDATE}=1"
