"""`leak_lines` describes leaks for a message; `leak_parts` explains why a leak is larger than the files."""

from collections.abc import Mapping, Sequence

from thinsim.measure.attribution import Leak
from thinsim.units import format_size

_OWNERS = 3
"""The number of owners in the message about a limit."""

STRUCTURES = "the file system's own structures (journal, inode tables)"


def leaked_more(leaks: Sequence[Leak], limit: int, files: Mapping[str, int]) -> list[str]:
    """Return lines with the leaked size and the largest owners, if more than *limit* bytes leaked.

    Otherwise return an empty list.
    """
    leaked = sum(leak.bytes for leak in leaks)
    if leaked <= limit:
        return []
    head = f"leaked {format_size(leaked)} ({leaked} bytes), more than {format_size(limit)}"
    return [head, *leak_lines(leaks, files, most=_OWNERS)]


def leak_lines(leaks: Sequence[Leak], files: Mapping[str, int], *, most: int | None = None) -> list[str]:
    """Return one line per owner in *leaks*, at most *most*, then the sentences of `leak_parts` about them."""
    shown = leaks[:most]
    lines = [
        f"{leak.owner.snapshot or f'thin {leak.owner.thin_id}'}: {format_size(leak.bytes)} "
        f"({leak.bytes} bytes in {leak.blocks} blocks), leaked by '{leak.owner.operation}': "
        f"{leak.owner.reason}"
        for leak in shown
    ]
    if len(leaks) > len(shown):
        rest = leaks[len(shown) :]
        noun = "leak" if len(rest) == 1 else "leaks"
        lines.append(f"{len(rest)} smaller {noun}: {format_size(sum(leak.bytes for leak in rest))}")
    return [*lines, *leak_parts(shown, files)]


def leak_parts(leaks: Sequence[Leak], files: Mapping[str, int]) -> list[str]:
    """Return a sentence about each snapshot that leaked more than its files have.

    *files* has the bytes of the files that the run wrote in each snapshot (`WrittenFiles.sizes`); there is no
    sentence about a snapshot that is not in it.
    """
    leaked: dict[str, int] = {}
    for leak in leaks:
        leaked[leak.owner.snapshot] = leaked.get(leak.owner.snapshot, 0) + leak.bytes
    return [
        f"{snapshot}: {format_size(files[snapshot])} of it are files that the run wrote; "
        f"{format_size(lost - files[snapshot])} are {STRUCTURES}, files that were changed or deleted, and "
        "unused parts of blocks"
        for snapshot, lost in leaked.items()
        if lost > files.get(snapshot, lost)
    ]
