"""`origin_lines` explains a leak: it separates files from the structures of their file system."""

from collections.abc import Mapping

from thinsim.units import format_size

_STRUCTURES: Mapping[str, str] = {
    "ext4": " (ext4's superblocks, journal and inode tables)",
    "ext2": " (ext2's superblocks and inode tables)",
    "xfs": " (the headers of xfs's allocation groups and its log)",
}
_MOST_LINES = 5


def origin_lines(
    origins: Mapping[str, int],
    file_bytes: Mapping[str, int | None],
    *,
    fs_type: str = "",
) -> list[str]:
    """Return one line for each step that took leaked blocks from the pool, the largest first.

    *origins* has the leaked bytes of each step (``LeakBook.origins``). *file_bytes* has the bytes of files
    that a step wrote, None if nobody knows them. A step that is not in it wrote no files, so its blocks have
    the structures of a file system; *fs_type* is its type if it is a real one.
    """
    lines = []
    steps = sorted(origins.items(), key=lambda each: (-each[1], each[0]))
    for step, leaked in steps[:_MOST_LINES]:
        if step in file_bytes:
            what = _files(leaked, file_bytes[step])
        else:
            what = f"the file system's own structures{_STRUCTURES.get(fs_type, '')}"
        lines.append(f"{format_size(leaked)} in blocks that {step!r} took: {what}")
    others = steps[_MOST_LINES:]
    if others:
        lines.append(
            f"{format_size(sum(leaked for _, leaked in others))} in blocks of {len(others)} more steps"
        )
    return lines


def _files(leaked: int, written: int | None) -> str:
    if written is None:
        return "files"
    files = f"{format_size(written)} of files"
    if leaked <= written:
        return files if leaked == written else f"part of {files}"
    return (
        f"{files}; the other {format_size(leaked - written)} are the file system's structures for them and "
        f"unused parts of data blocks"
    )
