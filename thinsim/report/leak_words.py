"""`leak_lines` describes leaks for a message; `origin_lines` separates files from other blocks of a leak."""

from collections.abc import Mapping, Sequence

from thinsim.measure.attribution import Leak, LeakOrigin
from thinsim.units import format_size

_STRUCTURES: Mapping[str, str] = {
    "ext4": " (ext4's superblocks, journal and inode tables)",
    "ext2": " (ext2's superblocks and inode tables)",
    "xfs": " (the headers of xfs's allocation groups and its log)",
}
_OWNERS = 3
"""The number of owners in the message about a limit, and of explained leaks below a table."""
_STEPS = 5
"""The number of steps in the explanation of a leak."""


def leaked_more(leaks: Sequence[Leak], limit: int, fs_type: str) -> list[str]:
    """Return lines with the leaked size and the largest owners, if more than *limit* bytes leaked.

    Otherwise return an empty list.
    """
    leaked = sum(leak.bytes for leak in leaks)
    if leaked <= limit:
        return []
    head = f"leaked {format_size(leaked)} ({leaked} bytes), more than {format_size(limit)}"
    return [head, *leak_lines(leaks, fs_type, most=_OWNERS)]


def leak_lines(leaks: Sequence[Leak], fs_type: str, *, most: int | None = None) -> list[str]:
    """Return one line per owner in *leaks*, at most *most*, each followed by its indented `origin_lines`."""
    lines = []
    for leak in leaks[:most]:
        lines.append(
            f"{_name(leak)}: {format_size(leak.bytes)} ({leak.bytes} bytes in {leak.blocks} blocks), "
            f"leaked by '{leak.owner.operation}': {leak.owner.reason}"
        )
        lines += [f"  {line}" for line in origin_lines(leak, fs_type)]
    rest = leaks[len(leaks[:most]) :]
    if rest:
        smaller = f"{len(rest)} smaller leak{'s' if len(rest) > 1 else ''}"
        lines.append(f"{smaller}: {format_size(sum(leak.bytes for leak in rest))}")
    return lines


def leak_parts(leaks: Sequence[Leak], fs_type: str) -> list[str]:
    """Return the lines that explain the largest of *leaks* below a table, each with the leak's owner."""
    return [f"{_name(leak)}: {line}" for leak in leaks[:_OWNERS] for line in origin_lines(leak, fs_type)]


def origin_lines(leak: Leak, fs_type: str) -> list[str]:
    """Return one line for each step that took the blocks of *leak* from the pool, the largest first.

    The blocks of a step that wrote no files have the structures of a file system. *fs_type* is its type; it
    is empty if the file system is simulated.
    """
    lines = [
        f"{format_size(each.bytes)} in blocks that '{each.step}' took: {_content(each, fs_type)}"
        for each in leak.origins[:_STEPS]
    ]
    others = leak.origins[_STEPS:]
    if others:
        size = format_size(sum(each.bytes for each in others))
        lines.append(f"{size} in blocks of {len(others)} more steps")
    return lines


def _name(leak: Leak) -> str:
    owner = leak.owner
    return f"{owner.snapshot} (thin {owner.thin_id})" if owner.snapshot else f"thin {owner.thin_id}"


def _content(origin: LeakOrigin, fs_type: str) -> str:
    if origin.files is None:
        return "files, and the file system's structures for them"
    if not origin.files:
        return f"the file system's own structures{_STRUCTURES.get(fs_type, '')}"
    files = f"{format_size(origin.files)} of files"
    if origin.bytes <= origin.files:
        return files if origin.bytes == origin.files else f"part of {files}"
    return (
        f"{files}; the other {format_size(origin.bytes - origin.files)} are the file system's structures for "
        f"them and unused parts of data blocks"
    )
