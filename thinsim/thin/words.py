"""These functions parse the words of tables and messages as the kernel does (dm-table.c, lib/kstrtox.c)."""

import errno

from thinsim.errors import DeviceMapperError

_U64_MAX = (1 << 64) - 1


def split_words(text: str) -> list[str]:
    """Split at white space; a backslash makes the next character literal (dm-table.c, dm_split_args)."""
    words: list[str] = []
    word: list[str] | None = None
    characters = iter(text)
    for character in characters:
        if character.isspace():
            if word is not None:
                words.append("".join(word))
            word = None
            continue
        word = [] if word is None else word
        word.append(next(characters, "\\") if character == "\\" else character)
    if word is not None:
        words.append("".join(word))
    return words


def parse_number(text: str, maximum: int = _U64_MAX) -> int | None:
    """Parse a decimal number up to *maximum* as kstrtoull does, or return None if *text* is not one.

    A leading ``+`` and leading zeros are valid, blanks are not.
    """
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return None
    number = int(digits)
    return number if number <= maximum else None


def target_words(line: str, target: str) -> tuple[int, int, list[str]]:
    """Split a table line of *target* into start, length (both in sectors) and arguments.

    Raises EINVAL when the line is malformed or has another target type.
    """
    words = split_words(line)
    if len(words) < 3:
        raise DeviceMapperError(errno.EINVAL, f"Incomplete table line: {line!r}")
    start, length = parse_number(words[0]), parse_number(words[1])
    if start is None or length is None:
        raise DeviceMapperError(errno.EINVAL, f"Invalid start or length of table line: {line!r}")
    if length == 0:
        raise DeviceMapperError(errno.EINVAL, f"zero-length target: {line!r}")
    if words[2] != target:
        raise DeviceMapperError(errno.EINVAL, f"{words[2]!r}: unknown target type, expected {target}")
    return start, length, words[3:]
