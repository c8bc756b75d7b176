"""The drop-in answers every command of dmsetup, right and wrong, as the kernel's device-mapper did.

The transcripts in ``data/dmsetup`` were recorded with dmsetup 1.02.185 on Linux 6.1 (``make
record-dmsetup``); ``tools/record_dmsetup.py`` describes their format and the marks in place of numbers.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.repository import REPOSITORY
from thinsim.dm.dropin.dropin import install
from thinsim.dm.names import MAPPER
from thinsim.dm.standing.places import Places

TRANSCRIPTS = Path(__file__).with_name("data") / "dmsetup"
NAMES = sorted(path.stem for path in TRANSCRIPTS.glob("*.txt"))
RECORDER = REPOSITORY / "tools/record_dmsetup.py"
VERSION = "1.02.185"

_TREE = """\
> l1 ({l1}) [ACTIVE, RW, 0, UUID-of-l1]
>  `- ({disk})
> s1 ({s1}) [ACTIVE, RW, 0, ]
>  |- ({other})
>  `- ({disk})
> t1 ({t1}) [ACTIVE, RW, 0, ]
>  `-pool ({pool}) [ACTIVE, RW, 1, ]
>     |- ({data})
>     `- ({metadata})
> two ({two}) [ACTIVE, RW, 0, ]
>  `- ({disk})
"""


@dataclass(frozen=True)
class TranscriptDifference:
    """A `TranscriptDifference` has a text of a transcript, the drop-in's answer instead, and the reason."""

    transcript: str
    kernel: str
    ours: str
    why: str


DIFFERENCES = (
    TranscriptDifference(
        "rename-and-remove",
        "> Open count:        1\n",
        "> Open count:        0\n",
        "plain opens of a loop device are not visible",
    ),
    TranscriptDifference("rename-and-remove", "> l1:L--w:1\n", "> l1:L--w:0\n", "the same in columns"),
    TranscriptDifference(
        "reports",
        "> l1\t(l1)\n> pool\t(pool)\n> s1\t(s1)\n> t1\t(t1)\n> two\t(two)\n",
        "> l1\t({node l1})\n> pool\t({node pool})\n> s1\t({node s1})\n> t1\t({node t1})\n"
        "> two\t({node two})\n",
        "sysfs has no mapped device's name for a loop device",
    ),
    TranscriptDifference(
        "reports",
        f"active,open,rw,uuid\n{_TREE}",
        "active,open,rw,uuid\n" + re.sub(r"(- \(\{\w+\}\))\n", r"\1 [ACTIVE, RW, 0, ]\n", _TREE),
        "by its major number every loop device is a mapped one to dmsetup",
    ),
)

# A name as common as "pool" may exist in /dev/mapper already.
_IN_A_NAMESPACE = 'mount -t tmpfs tmpfs "$0" && exec "$@"'


def _dmsetup_version() -> str:
    if shutil.which("dmsetup") is None:
        return "none"
    printed = subprocess.run(["dmsetup", "--version"], capture_output=True, text=True, check=False).stdout
    return printed.split()[2] if printed.startswith("Library version:") else "unknown"


pytestmark = [
    pytest.mark.rig,
    # A mount namespace keeps all mounts of that moment in use, and so the devices below them.
    pytest.mark.alone,
    pytest.mark.skipif(
        _dmsetup_version() != VERSION,
        reason=f"dmsetup here is {_dmsetup_version()}, the transcripts are of {VERSION}; texts may differ "
        "(Debian 12: apt-get install dmsetup)",
    ),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Yield each transcript with the drop-in's answers, by name."""
    directory = tmp_path_factory.mktemp("dmsetup")
    for name in NAMES:
        shutil.copy(TRANSCRIPTS / f"{name}.txt", directory)
    runtime = tempfile.mkdtemp(prefix="thinsim-test-", dir="/run")
    MAPPER.mkdir(mode=0o755, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THINSIM_RUNTIME_DIR", runtime)
        patch.setenv("THINSIM_STATE_DIR", str(directory / "state"))
        environment = {**os.environ, **install(Places.of_this_user())}
        files = [str(directory / f"{name}.txt") for name in NAMES]
        try:
            subprocess.run(
                [
                    *("unshare", "--mount", "sh", "-c", _IN_A_NAMESPACE, str(MAPPER)),
                    *(sys.executable, str(RECORDER), "--rewrite", str(directory), *files),
                ],
                env=environment,
                check=True,
                timeout=300,
            )
            yield {name: (directory / f"{name}.txt").read_text() for name in NAMES}
        finally:
            stop = [sys.executable, "-m", "thinsim", "dm", "stop", "--force"]
            subprocess.run(stop, env=environment, check=True, timeout=60)
            shutil.rmtree(runtime)


@pytest.mark.parametrize("name", NAMES)
def test_the_drop_in_answers_as_the_kernel_did(name: str, answers: Mapping[str, str]) -> None:
    expected = (TRANSCRIPTS / f"{name}.txt").read_text()
    for difference in DIFFERENCES:
        if difference.transcript == name:
            assert difference.kernel in expected, f"not in the transcript: {difference}"
            expected = expected.replace(difference.kernel, difference.ours)
    assert answers[name] == expected
