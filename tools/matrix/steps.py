"""`STEPS` lists what runs on each system, as its user types it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tools.matrix.system_root import CLONE
from tools.matrix.systems import MatrixSystem

_TEST_PACKAGES = "apt-get install -qq busybox-static containerd docker-registry fio qemu-utils runc"
_TESTS = (
    # Others may make loop devices on this machine meanwhile: each run looks at its own directory.
    "THINSIM_SHARED_MACHINE=1 "
    ".venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not browser and not long' "
    "--basetemp=/tmp/tests-of-SUITE --durations=100"
)
_TESTED = re.compile(r"(\d+ failed, )?(\d+) passed[^\n]*")


@dataclass(frozen=True, slots=True)
class MatrixStep:
    """A `MatrixStep` runs *script* in the clone; *result* finds its result in the output."""

    title: str
    script: str
    result: re.Pattern[str]
    seconds: int
    """The time limit."""
    tmpfs: bool = False
    sets_up: bool = False
    """The script does what `make setup` does, so it runs in a system without it."""

    def script_for(self, system: MatrixSystem) -> str:
        """Return the shell script for *system*."""
        return self.script.replace("CONTAINERD_SOURCE", system.containerd_source).replace(
            "SUITE", system.suite
        )


STEPS: Mapping[str, MatrixStep] = {
    "reproduce": MatrixStep(
        "make reproduce",
        "make reproduce",
        re.compile(r"^\S[^\n]*: [^\n]* leaked \([^\n]*", re.MULTILINE),
        900,
        sets_up=True,
    ),
    "containerd": MatrixStep(
        "--subject containerd",
        "apt-get install -qq containerd runc busybox-static\n"
        ".venv/bin/thinsim reproduce --subject containerd --container-mb 20",
        re.compile(r"^\S[^\n]*: [^\n]* leaked \([^\n]*", re.MULTILINE),
        900,
    ),
    "tests": MatrixStep(
        "tests",
        f"{_TEST_PACKAGES}\n{_TESTS}",
        _TESTED,
        3600,
    ),
    "tests on tmpfs": MatrixStep(
        "tests, /tmp on tmpfs",
        f"{_TEST_PACKAGES}\n{_TESTS}",
        _TESTED,
        3600,
        tmpfs=True,
    ),
    "suite": MatrixStep(
        "containerd's own suite",
        "apt-get install -qq --no-install-recommends golang-go golang-github-containerd-containerd-dev\n"
        f"PATH={CLONE}/.venv/bin:$PATH\n"
        "thinsim dm start\n"
        'eval "$(thinsim env)"\n'
        "trap 'thinsim dm stop' EXIT\n"
        # mkfs.xfs of 5.19 and later makes the small file system of one test only for a test of its own.
        "export TEST_DIR=/tmp TEST_DEV=/tmp QA_CHECK_FS=1\n"
        "GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= go test -v -count=1 "
        "CONTAINERD_SOURCE CONTAINERD_SOURCE/dmsetup -args -test.root",
        re.compile(r"^(?:ok|FAIL)\s[^\n]+|^ *--- FAIL[^\n]*", re.MULTILINE),
        2400,
    ),
}
