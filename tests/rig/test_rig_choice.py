"""Which rig is chosen, and what is said of the others: every lack has a fix."""

import os
import shutil
from pathlib import Path

import pytest

from thinsim.errors import EnvironmentLacksError
from thinsim.rig import probes
from thinsim.rig.findings import Finding
from thinsim.rig.probes import choose_rig, probe_machine

THERE = Finding("loop devices", True, "/dev/loop-control")
NO_ROOT = Finding("root", False, "effective user id 1000", "run with sudo")
NO_PUNCH = Finding("hole punching in /x", False, "not supported", "--dir", ("emulated", "process"))
OPTIONAL = Finding("kernel device-mapper", False, "missing", "modprobe", ())


def test_where_nothing_lacks_the_emulated_rig_is_chosen() -> None:
    assert choose_rig("auto", [THERE, OPTIONAL]).rig == "emulated"


def test_without_root_the_process_rig_is_chosen_and_the_reason_given() -> None:
    choice = choose_rig("auto", [THERE, NO_ROOT])
    assert choice.rig == "process"
    assert choice.why == "passed over emulated (root: effective user id 1000)"


def test_where_no_rig_can_run_each_is_named_with_what_it_lacks() -> None:
    with pytest.raises(EnvironmentLacksError) as caught:
        choose_rig("auto", [NO_ROOT, NO_PUNCH])
    assert str(caught.value).splitlines() == [
        "no rig can run here:",
        "  emulated: root: effective user id 1000; hole punching in /x: not supported",
        "  process: hole punching in /x: not supported",
    ]


def test_a_rig_asked_for_that_cannot_run_is_refused_with_the_fix() -> None:
    with pytest.raises(EnvironmentLacksError) as caught:
        choose_rig("emulated", [THERE, NO_ROOT])
    assert str(caught.value).splitlines() == [
        "rig 'emulated' can't run here:",
        "  root: effective user id 1000; run with sudo",
    ]


def test_a_rig_asked_for_that_can_run_is_taken() -> None:
    assert choose_rig("process", [NO_ROOT]).rig == "process"


def test_every_lack_has_a_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> object:
        raise ImportError("no such module")

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(probes, "_import_session", broken)
    findings = probe_machine(tmp_path / "missing")
    lacks = {finding.name: finding for finding in findings if not finding.present}
    assert {"root", "FUSE", "mkfs.ext4", "umount", "fuse_backing C extension"} <= lacks.keys()
    assert f"hole punching in {tmp_path}/missing" in lacks
    assert all(lack.detail and lack.fix for lack in lacks.values())


def test_what_is_there_needs_no_fix(tmp_path: Path) -> None:
    assert [finding.fix for finding in probe_machine(tmp_path) if finding.present and finding.fix] == []
