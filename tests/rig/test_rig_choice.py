"""`choose_rig` picks a rig and gives the reason against the others; every lack has a fix."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from thinsim.errors import EnvironmentLacksError
from thinsim.machine.findings import Finding
from thinsim.rig import probes
from thinsim.rig.registry import HERE, RIGS, choose_rig, probe_machine, rig_names

THERE = Finding("loop devices", True, "/dev/loop-control")
NO_ROOT = Finding("root", False, "effective user id 1000", "run with sudo", ("kernel", "emulated"))
NO_PUNCH = Finding("hole punching in /x", False, "not supported", "--dir", rig_names(HERE))
NO_MAPPER = Finding("kernel device-mapper", False, "not loaded", "modprobe dm-thin-pool", ("kernel",))
NO_QEMU = Finding("qemu", False, "not installed", "make setup-vm", ("vm",))


def chosen(wanted: str, findings: Sequence[Finding]) -> tuple[str, str]:
    choice = choose_rig(wanted, findings)
    return choice.rig.name, choice.why


def test_the_kernel_rig_is_chosen_if_nothing_is_missing() -> None:
    assert chosen("auto", [THERE, NO_QEMU]) == ("kernel", "the best rig")


def test_without_device_mapper_the_emulated_rig_is_chosen_and_the_reason_given() -> None:
    choice = chosen("auto", [THERE, NO_MAPPER])
    assert choice == ("emulated", "passed over kernel (kernel device-mapper: not loaded)")


def test_only_a_request_for_the_vm_rig_boots_a_guest() -> None:
    assert choose_rig("auto", [NO_ROOT]).rig.name == "process"
    assert choose_rig("vm", [NO_ROOT, NO_MAPPER]).rig.name == "vm"
    with pytest.raises(EnvironmentLacksError, match=r"rig 'vm' can't run here:\n  qemu: .*make setup-vm"):
        choose_rig("vm", [NO_QEMU])


def test_without_root_the_process_rig_is_chosen_and_the_reason_given() -> None:
    choice = choose_rig("auto", [THERE, NO_ROOT])
    assert choice.rig.name == "process"
    lack = "root: effective user id 1000"
    assert choice.why == f"passed over kernel ({lack}), emulated ({lack})"
    assert choice.note == "rig process: no root; thinsim doctor lists what the others need"


def test_the_note_names_the_lack_of_the_next_better_rig_and_no_doctor_if_there_is_none() -> None:
    assert choose_rig("auto", [THERE, NO_MAPPER]).note == (
        "rig emulated: no kernel device-mapper; thinsim doctor lists what the others need"
    )
    assert choose_rig("auto", [THERE]).note == "rig kernel: the best rig"
    assert choose_rig("process", [NO_ROOT]).note == "rig process: requested"


def test_the_note_fits_100_columns_whatever_is_missing() -> None:
    for finding in probe_machine(Path("/tmp")):
        if "process" in finding.needed_by or not finding.needed_by:
            continue
        note = choose_rig("auto", [replace(finding, present=False)]).note
        assert f"no {finding.name}; " in note
        assert len(note) <= 100


def test_if_no_rig_can_run_each_is_named_with_its_lacks() -> None:
    with pytest.raises(EnvironmentLacksError) as caught:
        choose_rig("auto", [NO_ROOT, NO_PUNCH])
    first, *lacks = str(caught.value).splitlines()
    assert first == "no rig can run here:"
    assert lacks[:2] == [
        "  kernel: root: effective user id 1000; hole punching in /x: not supported",
        "  emulated: root: effective user id 1000; hole punching in /x: not supported",
    ]
    assert "  process: hole punching in /x: not supported" in lacks[2:]
    assert [line.split(":")[0].strip() for line in lacks] == [rig.name for rig in RIGS if rig.chosen_by_auto]


def test_a_requested_rig_that_cannot_run_is_refused_with_the_fix() -> None:
    with pytest.raises(EnvironmentLacksError) as caught:
        choose_rig("emulated", [THERE, NO_ROOT])
    assert str(caught.value).splitlines() == [
        "rig 'emulated' can't run here:",
        "  root: effective user id 1000; run with sudo",
    ]


def test_a_requested_rig_that_can_run_is_chosen() -> None:
    assert choose_rig("process", [NO_ROOT]).rig.name == "process"


def test_every_lack_has_a_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(probes, "SESSION", "no_such_module")
    findings = probe_machine(tmp_path / "missing")
    lacks = {finding.name: finding for finding in findings if not finding.present}
    assert {"root", "FUSE", "mkfs.ext4", "umount", "fuse_backing C extension"} <= lacks.keys()
    assert f"hole punching in {tmp_path}/missing" in lacks
    assert all(lack.detail and lack.fix for lack in lacks.values())


def test_a_thing_that_is_present_needs_no_fix(tmp_path: Path) -> None:
    assert [finding.fix for finding in probe_machine(tmp_path) if finding.present and finding.fix] == []


def test_a_control_node_without_its_driver_is_no_device_mapper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/mapper/control may exist without a driver: opening it then fails with ENODEV."""
    monkeypatch.setattr(probes, "kernel_has_device_mapper", lambda: False)
    monkeypatch.setattr(os, "access", lambda *_: True)
    monkeypatch.setattr(Path, "exists", lambda *_, **__: True)
    (found,) = (finding for finding in probe_machine(tmp_path) if finding.name == "kernel device-mapper")
    assert not found.present
    assert found.fix
