"""Recordings are files of JSON lines, one line per history, compressed if the name ends in ``.xz``."""

import json
import lzma
from collections.abc import Iterable
from pathlib import Path

from thinsim.conformance.answers.answer import Recording, recording_from_json, recording_to_json
from thinsim.errors import InvalidValueError

RECORDED = Path(__file__).parent / "recorded"
"""The recordings that come with thinsim, one file per kernel."""


def recorded_files() -> list[Path]:
    """Return the recordings that come with thinsim, oldest kernel first."""
    return sorted(RECORDED.glob("*.jsonl.xz"), key=lambda path: [int(part) for part in _release(path)])


def recordings_of(release: str) -> Path:
    """Return the file for the answers of the kernel *release*, as ``uname -r`` prints it."""
    return RECORDED / f"linux-{'.'.join(release.split('.')[:2])}.jsonl.xz"


def read_recordings(path: Path) -> list[Recording]:
    """Read a file; InvalidValueError names its fault. Raises ``OSError`` for an unreadable file."""
    try:
        content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        return [recording_from_json(json.loads(line)) for line in content.splitlines()]
    except (ValueError, lzma.LZMAError, InvalidValueError) as error:
        raise InvalidValueError(f"{path}: {error}") from None


def write_recordings(path: Path, recordings: Iterable[Recording]) -> None:
    """Write a file, or replace the whole file at once."""
    lines = (json.dumps(recording_to_json(each), separators=(",", ":")) for each in recordings)
    content = "".join(f"{line}\n" for line in lines).encode()
    if path.suffix == ".xz":
        content = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)


def _release(path: Path) -> list[str]:
    return path.name.removeprefix("linux-").removesuffix(".jsonl.xz").split(".")
