"""`best` chooses an image by platform, as containerd does.

The rules are those of ``Normalize`` and ``Default`` in containerd's ``platforms`` package (1.6). Names ignore
case, ``x86_64`` is amd64, and a missing system is Linux. A machine prefers images for its own processor, then
those for other processors whose programs it runs. A variant must match: ``amd64/v3`` is not for every amd64.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_ARM = ("v8", "v7", "v6", "v5")
_PROCESSORS = {
    ("i386", ""): ("386", ""),
    ("x86_64", ""): ("amd64", ""),
    ("x86-64", ""): ("amd64", ""),
    ("amd64", "v1"): ("amd64", ""),
    ("aarch64", ""): ("arm64", ""),
    ("arm64", "8"): ("arm64", ""),
    ("arm64", "v8"): ("arm64", ""),
    ("armhf", ""): ("arm", "v7"),
    ("armel", ""): ("arm", "v6"),
    ("arm", ""): ("arm", "v7"),
    ("arm", "5"): ("arm", "v5"),
    ("arm", "6"): ("arm", "v6"),
    ("arm", "7"): ("arm", "v7"),
    ("arm", "8"): ("arm", "v8"),
}
_MACHINES = {"i686": ("386", ""), "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6")}


@dataclass(frozen=True, slots=True)
class Platform:
    """A `Platform` is a system and a processor by Go's names; an empty *variant* means any."""

    system: str
    processor: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.system, self.processor, self.variant) if part)


def normal(described: Mapping[str, object]) -> Platform | None:
    """Return the platform that *described* names (``os``, ``architecture``, ``variant``), None if none."""
    words = [described.get(key) for key in ("os", "architecture", "variant")]
    system, processor, variant = (word.lower() if isinstance(word, str) else "" for word in words)
    if not processor:
        return None
    return Platform({"": "linux", "macos": "darwin"}.get(system, system), *_processor(processor, variant))


def _processor(name: str, variant: str) -> tuple[str, str]:
    base, _ = _PROCESSORS.get((name, ""), (name, ""))
    if name in ("i386", "armhf", "armel"):
        return _PROCESSORS[name, ""]
    return _PROCESSORS.get((base, variant), (base, variant))


def platforms_run() -> tuple[Platform, ...]:
    """Return the platforms whose programs this machine runs, its own first."""
    machine = platform.machine()
    name, variant = _MACHINES.get(machine) or _processor(machine.lower(), "")
    others: tuple[tuple[str, str], ...] = ()
    match name:
        case "amd64":
            others = (("386", ""),)
        case "arm64":
            others = tuple(("arm", each) for each in _ARM)
        case "arm":
            others = tuple(("arm", each) for each in _ARM[_ARM.index(variant) + 1 :])
    return tuple(Platform("linux", *each) for each in ((name, variant), *others))


def this_platform() -> str:
    """Return this machine's platform without a variant: ``linux/amd64``."""
    own = platforms_run()[0]
    return f"{own.system}/{own.processor}"


def best(found: Sequence[Platform | None]) -> tuple[int, str]:
    """Return the index of the best platform in *found*, and a note for the user ("" if there is no doubt).

    This machine's own platform is best, then an unknown one (None), then others that this machine runs, then
    any other: its files can be unpacked, though not run.
    """
    own, *others = platforms_run()
    order: list[Platform | None] = [own, None, *others]
    wanted = next((each for each in order if each in found), found[0])
    if wanted not in (own, None):
        return found.index(wanted), f"the archive has no image for {own}; the one for {wanted} is used"
    fitting = found.count(wanted)
    what = f"images for {wanted}" if wanted else "images that name no platform"
    note = f"the archive has {fitting} {what}; the first is used" if fitting > 1 else ""
    return found.index(wanted), note
