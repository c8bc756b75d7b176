"""A `Contender` is a rig, a snapshotter on it, and a setting; benchmarks compare them at several `Sizes`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from thinsim.did_you_mean import unknown_name
from thinsim.errors import UnknownNameError
from thinsim.rig.record import RigRecord
from thinsim.rig.registry import find_rig, rig_names
from thinsim.scenario.container_lifecycle import Setting
from thinsim.units import Bytes, format_size


@dataclass(frozen=True, slots=True)
class Contender:
    """A `Contender` takes part in a benchmark; its name is ``RIG/SUBJECT/SETTING``."""

    rig: RigRecord
    subject: str
    setting: Setting
    containerd: Path | None = None
    """The directory of its build of containerd; None for the installed one."""
    label: str = ""
    """A word for the build, if builds are compared."""

    @property
    def name(self) -> str:
        """Return the name as the command line takes it, and ``@LABEL`` for a build."""
        build = f"@{self.label}" if self.label else ""
        return f"{self.rig.name}/{self.subject}/{self.setting.slug}{build}"


@dataclass(frozen=True, slots=True)
class Sizes:
    """`Sizes` is one point of a benchmark, in bytes.

    A rig that plays a recorded history uses the image and the container of the history instead.
    """

    pool: Bytes
    image: Bytes
    container: Bytes

    @property
    def text(self) -> str:
        """Return the sizes in words."""
        return (
            f"pool {format_size(self.pool)}, image {format_size(self.image)}, "
            f"container {format_size(self.container)}"
        )


def parse_contender(text: str, subjects: Mapping[str, Sequence[Setting]]) -> Contender:
    """Read ``RIG/SUBJECT/SETTING``. UnknownNameError, with the valid names, if a word is unknown."""
    words = text.split("/")
    if len(words) != 3:
        raise UnknownNameError(f"{text!r}: a contender is RIG/SUBJECT/SETTING, such as emulated/core/on")
    rig, subject, slug = words
    _one_of("rig", rig, rig_names())
    _one_of("subject", subject, list(subjects))
    by_slug = {setting.slug: setting for setting in subjects[subject]}
    _one_of(f"{subject}: setting", slug, list(by_slug))
    return Contender(find_rig(rig), subject, by_slug[slug])


def steps_up(pools: Sequence[Bytes], images: Sequence[Bytes], containers: Sequence[Bytes]) -> list[Sizes]:
    """Return the sizes to measure: the first of each, then each list of sizes with the others unchanged."""
    first = Sizes(pools[0], images[0], containers[0])
    grown = [
        *(Sizes(pool, first.image, first.container) for pool in pools),
        *(Sizes(first.pool, image, first.container) for image in images),
        *(Sizes(first.pool, first.image, container) for container in containers),
    ]
    return list(dict.fromkeys(grown))


def all_together(pools: Sequence[Bytes], images: Sequence[Bytes], containers: Sequence[Bytes]) -> list[Sizes]:
    """Return every combination of the sizes; the size of the container grows fastest."""
    return list(dict.fromkeys(Sizes(*each) for each in product(pools, images, containers)))


def _one_of(what: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise UnknownNameError(unknown_name(what, word, known))
