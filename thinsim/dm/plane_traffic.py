"""A `PlaneTraffic` counts what the plane of the emulated device-mapper has served without Python."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class PlaneTraffic:
    """A `PlaneTraffic` counts requests and bytes since the pool, or the device-mapper, was opened."""

    reads: int = 0
    writes: int = 0
    flushes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    unseen_bytes: int = 0
    """Those of the bytes written that the kernel's counters of the data device do not have."""
    backend: str = "Python serves every request"
    """Where the plane reads and writes, or why it serves nothing."""

    def __add__(self, other: "PlaneTraffic") -> "PlaneTraffic":
        return PlaneTraffic(
            self.reads + other.reads,
            self.writes + other.writes,
            self.flushes + other.flushes,
            self.read_bytes + other.read_bytes,
            self.written_bytes + other.written_bytes,
            self.unseen_bytes + other.unseen_bytes,
            other.backend,
        )


def without_plane(why: str) -> PlaneTraffic:
    """Return no traffic, with the reason if there is one."""
    nothing = PlaneTraffic()
    return replace(nothing, backend=f"{nothing.backend}: {why}") if why else nothing
