"""These functions write bytes, offsets and times for people; JSON documents have the exact numbers."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def sized(count: int) -> str:
    """Return a number of bytes with the largest unit that leaves at least 1, and no false precision."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if value == int(value) else f"{value:.1f} {_UNITS[unit]}"


def placed(offset: int) -> str:
    """Return an offset in bytes with the largest unit in which it is whole, so that it stays exact."""
    unit = 0
    while offset and offset % 1024 == 0 and unit < len(_UNITS) - 1:
        offset, unit = offset // 1024, unit + 1
    return f"{offset} {_UNITS[unit]}"


def lasting(seconds: float) -> str:
    """Return a duration with three digits, in µs, ms or s."""
    for unit, factor in (("µs", 1e6), ("ms", 1e3)):
        value = seconds * factor
        if value < 999.5:
            return f"{value:.{max(0, 3 - len(str(int(value))))}f} {unit}" if value else "0 s"
    return f"{seconds:.{2 if seconds < 9.995 else 1 if seconds < 99.95 else 0}f} s"


def elapsed(seconds: float) -> str:
    """Return a whole number of seconds as hours, minutes and seconds, without those that are 0."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{value} {unit}" for value, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if value]
    return " ".join(parts) or "0 s"
