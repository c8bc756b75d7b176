"""The probe names each thing that a guest needs, with its fix, when the thing is hidden."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.repository import REPOSITORY
from thinsim.errors import EnvironmentLacksError, ProgramFailedError
from thinsim.machine.journal import Journal
from thinsim.machine.programs import full_path
from thinsim.units import Bytes
from thinsim.vm import guest, probe
from thinsim.vm.busybox import APPLETS, find_busybox, is_static
from thinsim.vm.kernels import installed_kernels
from thinsim.vm.modules import FOR_THE_ROOT, FOR_THE_WORK, lacking_modules, needs_zstd
from thinsim.vm.tools import QEMU, QEMU_PACKAGE, is_recent

LACKS = [f"{each.name}: {each.detail} (fix: {each.fix})" for each in probe.probe_guest() if not each.present]
needs_all = pytest.mark.skipif(bool(LACKS), reason="; ".join(LACKS) or "nothing")


def has_namespaces() -> bool:
    if os.geteuid() or shutil.which("unshare") is None:
        return False
    make_private = ["unshare", "-m", "mount", "--make-rprivate", "/"]
    return not subprocess.run(make_private, capture_output=True, check=False).returncode


has_no_namespaces = pytest.mark.skipif(
    not has_namespaces(),
    reason="needs unshare (apt-get install util-linux) and mount namespaces: a privileged container",
)


def needs_namespace(test: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.root("hides programs in a mount namespace")(has_no_namespaces(test))


PROGRAMS = {
    "busybox (static)": ("busybox", "busybox-static", "busybox.static"),
    "qemu": (QEMU,),
    "dmsetup (in the guest)": ("dmsetup",),
    "thin_dump (in the guest)": ("thin_dump",),
    "modprobe (in the guest)": ("modprobe",),
    "mkfs.ext4 (in the guest)": ("mkfs.ext4",),
    "losetup (in the guest)": ("losetup",),
}
FIXES = {
    "busybox (static)": "make setup-vm, or apt-get install busybox-static",
    "qemu": f"make setup-vm, or apt-get install {QEMU_PACKAGE}",
    "virtme-ng": "make setup-vm",
    "guest kernel": "make setup-vm",
    "dmsetup (in the guest)": "apt-get install dmsetup",
    "thin_dump (in the guest)": "apt-get install thin-provisioning-tools",
    "modprobe (in the guest)": "apt-get install kmod",
    "mkfs.ext4 (in the guest)": "apt-get install e2fsprogs",
    "losetup (in the guest)": "apt-get install mount",
}


def hidden(paths: list[Path], nothing: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a thinsim that sees an empty file or directory in place of each of *paths*."""
    (nothing / "file").touch()
    (nothing / "directory").mkdir(exist_ok=True)
    lines = ["mount --make-rprivate /"]
    for path in {path.resolve() for path in paths if path.exists()}:
        empty = nothing / ("directory" if path.is_dir() else "file")
        lines.append(f'mount --bind "{empty}" "{path}"')
    assert len(lines) > 1, "nothing is hidden"
    script = " && ".join([*lines, 'exec "$@"'])
    command = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-m", "thinsim", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def places_of(names: tuple[str, ...]) -> list[Path]:
    directories = full_path(os.environ).split(":")
    return [Path(place, name) for name in names for place in directories]


def lacks_of(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    findings = json.loads(done.stdout)
    return {each["name"]: each["fix"] for each in findings if not each["present"] and each["needed_by"]}


@needs_all
@needs_namespace
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_is_hidden_is_named_with_its_fix(name: str, tmp_path: Path) -> None:
    done = hidden(places_of(PROGRAMS[name]), tmp_path, ["vm", "probe", "--json"])
    assert done.returncode == 1, done.stderr
    assert lacks_of(done) == {name: FIXES[name]}


@needs_all
@needs_namespace
def test_a_guest_without_virtme_ng_or_kernel_is_named_with_its_fix(tmp_path: Path) -> None:
    runs = [Path(sys.executable).parent / "virtme-run", *places_of(("virtme-run",))]
    done = hidden(runs, tmp_path, ["vm", "probe", "--json"])
    assert (done.returncode, lacks_of(done)) == (1, {"virtme-ng": FIXES["virtme-ng"]})
    done = hidden([Path("/boot")], tmp_path, ["vm", "probe", "--json"])
    assert (done.returncode, lacks_of(done)) == (1, {"guest kernel": FIXES["guest kernel"]})


@needs_all
@needs_namespace
@pytest.mark.parametrize("module", ["9pnet_virtio", "loop", "overlay"])
def test_a_module_that_is_hidden_is_named_with_its_fix(module: str, tmp_path: Path) -> None:
    kernel = installed_kernels()[0]
    files = list(Path("/lib/modules", kernel.release).rglob(f"{module}.ko*"))
    if not files:
        pytest.skip(f"{module} is built into {kernel.release}")
    # A removed package leaves no file, so an empty file in its place would not do.
    folder = tmp_path / "folder"
    shutil.copytree(files[0].parent, folder)
    (folder / files[0].name).unlink()
    script = f'mount --make-rprivate / && mount --bind {folder} {files[0].parent} && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-m", "thinsim"]
    done = subprocess.run([*command, "vm", "probe", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    fix = f"apt-get install --reinstall linux-image-{kernel.release}"
    assert lacks_of(done) == {"guest modules": fix}
    refused = subprocess.run([*command, "vm", "run", "true"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert module in refused.stderr
    assert fix in refused.stderr


@needs_all
@needs_namespace
def test_run_and_doctor_name_a_missing_busybox(tmp_path: Path) -> None:
    paths = places_of(PROGRAMS["busybox (static)"])
    done = hidden(paths, tmp_path, ["vm", "run", "true"])
    assert done.returncode == 1
    assert done.stderr.startswith("thinsim: no guest can run here: busybox (static): ")
    assert done.stderr.count("\n") == 1
    assert "apt-get install busybox-static" in done.stderr
    doctor = hidden(paths, tmp_path, ["doctor", "--json"])
    findings = {each["name"]: each for each in json.loads(doctor.stdout)["findings"]}
    assert not findings["busybox (static)"]["present"]
    assert findings["busybox (static)"]["fix"] == FIXES["busybox (static)"]


@needs_namespace
def test_a_temporary_directory_that_is_not_writable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.tempfile, "tempdir", "/proc")
    found = next(each for each in probe.probe_guest() if each.name == "temporary directory")
    assert not found.present
    assert "TMPDIR" in found.fix


@needs_all
async def test_the_output_of_virtme_ng_is_shown_when_no_guest_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: Journal
) -> None:
    vng = tmp_path / "vng"
    vng.write_text("#!/bin/sh\necho 'virtme-run: something is amiss' >&2; exit 1\n")
    vng.chmod(0o755)
    monkeypatch.setattr(guest, "virtme_ng", lambda: vng)
    spec = guest.GuestSpec(installed_kernels()[0], kvm=False, scratch=Bytes(64 << 20))
    journal = Journal.create()
    try:
        with pytest.raises(ProgramFailedError, match="virtme-ng printed: virtme-run: something is amiss"):
            await guest.run_in_guest(
                spec, ["true"], tmp_path, journal, out=lambda piece: None, err=lambda piece: None
            )
    finally:
        journal.close()


def test_memory_is_what_machine_and_container_leave(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4096 kB\n")
    assert probe.available_memory(tmp_path) == 4 << 20
    cgroup = tmp_path / "sys/fs/cgroup"
    cgroup.mkdir(parents=True)
    (cgroup / "memory.current").write_text("1048576\n")
    (cgroup / "memory.max").write_text("max\n")
    assert probe.available_memory(tmp_path) == 4 << 20
    (cgroup / "memory.max").write_text("3145728\n")
    assert probe.available_memory(tmp_path) == 2 << 20


def test_little_memory_is_a_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "available_memory", lambda: 100 << 20)
    found = next(each for each in probe.probe_guest() if each.name == "memory")
    assert (found.present, found.detail) == (False, "100 MiB available")
    assert found.fix == "free some memory: a guest needs 768 MiB"


def test_an_older_virtme_ng_is_a_lack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = tmp_path / "vng"
    command.write_text("#!/bin/sh\necho virtme-ng 1.18\n")
    command.chmod(0o755)
    monkeypatch.setattr(probe, "virtme_ng", lambda: command)
    found = next(each for each in probe.probe_guest() if each.name == "virtme-ng")
    assert not found.present
    assert found.detail == f"{command} has version 1.18; at least 1.33 is needed"
    assert [is_recent(text) for text in ("1.9", "1.32.4", "1.33", "1.42", "2.0", "")] == [
        *(False, False, True, True, True),
        False,
    ]


def test_a_qemu_without_9p_is_a_lack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / QEMU
    program.write_text("#!/bin/sh\necho 'name \"virtio-blk-pci\"'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = next(each for each in probe.probe_guest() if each.name == "qemu")
    assert found.detail == f"{program} is built without virtio-9p-pci"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing (apt-get install build-essential)")
def test_a_busybox_has_to_be_static_and_have_what_the_initramfs_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    for name, options in (("dynamic", []), ("static", ["-static"])):
        (tmp_path / name).mkdir()
        source = tmp_path / f"{name}.c"
        applets = "\\n".join(sorted(APPLETS - {"insmod"}))
        source.write_text(f'#include <stdio.h>\nint main(void) {{ puts("{applets}"); return 0; }}\n')
        program = tmp_path / name / "busybox"
        subprocess.run(
            ["/usr/bin/gcc", *options, "-o", program, source], check=True, env={"PATH": "/usr/bin"}
        )
        assert is_static(program) is (name == "static")
    with pytest.raises(EnvironmentLacksError, match="dynamic/busybox is not statically linked"):
        find_busybox([tmp_path / "dynamic"])
    with pytest.raises(EnvironmentLacksError, match="static/busybox has no insmod"):
        find_busybox([tmp_path / "static"])
    with pytest.raises(EnvironmentLacksError, match=r"no static busybox is installed .*busybox-static"):
        find_busybox([tmp_path])


def test_a_script_is_no_busybox(tmp_path: Path) -> None:
    (tmp_path / "busybox").write_text("#!/bin/sh\n")
    assert not is_static(tmp_path / "busybox")
    (tmp_path / "busybox").write_bytes(b"\x7fELF")
    assert not is_static(tmp_path / "busybox")


def test_a_damaged_busybox_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "busybox"
    program.write_bytes(Path(sys.executable).resolve().read_bytes()[:20])
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentLacksError, match="busybox is damaged: its ELF header is cut short"):
        find_busybox([])


@needs_all
def test_a_static_one_behind_a_dynamic_one_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = find_busybox()
    assert is_static(real)
    shutil.copy("/bin/bash", tmp_path / "busybox")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_busybox() == real


def test_modules_are_built_in_or_files_in_either_spelling(tmp_path: Path) -> None:
    assert lacking_modules(tmp_path) == [*FOR_THE_ROOT, *FOR_THE_WORK]
    built_in = [f"kernel/x/{name}.ko" for name in FOR_THE_WORK]
    (tmp_path / "modules.builtin").write_text("\n".join(built_in) + "\n")
    listed = [f"kernel/{name.replace('_', '-')}.ko.zst: kernel/y.ko.zst" for name in FOR_THE_ROOT]
    (tmp_path / "modules.dep").write_text("\n".join(listed) + "\n")
    assert lacking_modules(tmp_path) == list(FOR_THE_ROOT)
    (tmp_path / "kernel").mkdir()
    for line in listed:
        (tmp_path / line.partition(":")[0]).touch()
    assert lacking_modules(tmp_path) == []
    assert needs_zstd(tmp_path)


def test_setup_vm_installs_every_package_that_a_fix_names() -> None:
    done = subprocess.run(
        ["make", "-np", "setup-vm"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    variables = dict(re.findall(r"^(PACKAGES|VM_PACKAGES) := (.*)$", done.stdout, re.MULTILINE))
    installed = {word for line in variables.values() for word in line.split()}
    fixes = [*FIXES.values(), *(fix for each in probe.GUEST_TOOLS for fix in [f"apt-get install {each[1]}"])]
    wanted = {word for fix in fixes for word in re.findall(r"apt-get install (\S+)", fix)}
    assert {"busybox-static", "kmod", "mount"} <= wanted
    assert wanted - installed <= {"bash"}, "an essential package, which every machine has"
    assert "zstd" in installed
