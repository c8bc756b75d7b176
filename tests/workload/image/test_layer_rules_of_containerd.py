"""The machine's own containerd gives the recorded answers to the rules of layers."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenario.containerd.containerd_answers import answering, removed
from tests.workload.image.layer_rules import ON_PURPOSE, RULES, condensed, recorded

MISSING = [name for name in ("containerd", "ctr", "runc") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: containerd unpacks images as root"),
    pytest.mark.skipif(
        bool(MISSING), reason=f"missing: {', '.join(MISSING)} (apt-get install containerd runc)"
    ),
]

ISSUE_16 = (
    "gnu with a path where its times are",
    "one block of zeros between entries",
    "no padding at the end",
    "sparse 0.0",
    "sparse 0.1",
    "sparse 1.0",
    "sparse type S",
    "media type application/vnd.oci.image.layer.nondistributable.v1.tar+gzip, gzip",
    "path of 300 levels",
    "path of 1750 levels",
    "zstd with a window of 2^28",
    "zstd with a window of 2^30",
    "pax mtime ",
    "pax mtime +5",
    "second extended header replaces the first",
    "ends after an extended header",
    "gnu long name beside a pax path",
    "type 0 with a slash at the end",
    "uid of -1",
    "uid of -2",
)


@pytest.fixture
def directory() -> Iterator[Path]:
    # sockets need a short path
    with removed(Path(tempfile.mkdtemp(prefix="thinsim-rules-"))) as directory:
        yield directory


async def differences(directory: Path, names: list[str]) -> dict[str, object]:
    """Return containerd's answers that differ from the recorded ones."""
    answers = recorded()
    found: dict[str, object] = {}
    async with answering(directory, directory) as containerd:
        for name in names:
            given = await containerd.about(*RULES[name])
            if condensed(given) != answers[name]:
                found[name] = given
    return found


async def test_containerd_answers_as_recorded(directory: Path) -> None:
    names = dict.fromkeys((*ISSUE_16, *list(RULES)[::9]))
    assert await differences(directory, [name for name in names if name not in ON_PURPOSE]) == {}


@pytest.mark.long
async def test_containerd_answers_as_recorded_to_every_rule(directory: Path) -> None:
    assert await differences(directory, [name for name in RULES if name not in ON_PURPOSE]) == {}
