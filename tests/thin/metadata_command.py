"""`metadata_command` is ``thinsim metadata`` as a function that checks that its input is not written."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from thinsim.cli.main import status_of

MetadataCommand = Callable[..., tuple[int, str, str]]
"""The last argument is the file; the result is (exit status, standard output, standard error)."""


def metadata_command(capsys: pytest.CaptureFixture[str]) -> MetadataCommand:
    """Return the command as a function; *capsys* captures its output."""

    def run_command(*arguments: str | Path) -> tuple[int, str, str]:
        file = Path(arguments[-1])
        before = _state(file)
        status = status_of(["metadata", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert _state(file) == before, "the command wrote to its input"
        assert status in (0, 1), err
        assert err.count("\n") == (1 if err else 0), err
        for word in ("ENOTBLK", "EILSEQ", "Errno", "Traceback", "Block device required", "multibyte"):
            assert word not in out + err
        return status, out, err

    return run_command


def _state(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    return digest, status.st_mtime_ns, status.st_size
