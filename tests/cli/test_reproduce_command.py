"""``thinsim reproduce`` prints a table or JSON, and has exit statuses and errors of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_lines import Thinsim, as_process
from thinsim.cli.statuses import LEAKED


def played(tmp_path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return as_process("reproduce", "--rig", "process", "--dir", tmp_path, *arguments)


def test_the_table_and_the_leaks_are_printed_and_the_exit_status_is_0(tmp_path: Path) -> None:
    done = played(tmp_path, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stderr
    for text in (
        "discard_blocks=false",
        "discard_blocks=true",
        "true + discard_committed",
        "deleted without discard: discard_blocks is off",
        "committed snapshot: its device was already deactivated, so nothing was discarded",
        "0 B leaked (0 bytes): every block that the pool freed is free on the host",
    ):
        assert text in done.stdout
    assert "playing recorded block writes" in done.stderr
    runs = json.loads((tmp_path / "out.json").read_text())["runs"]
    assert [(run["setting"], run["leaked"] > 0) for run in runs] == [
        ("off", True),
        ("on", True),
        ("committed", False),
    ]


def test_json_goes_to_stdout_alone_and_a_leak_beyond_the_limit_has_an_exit_status_of_its_own(
    tmp_path: Path,
) -> None:
    done = played(tmp_path, "--setting", "on", "--json", "-", "--fail-on-leak", "1M")
    assert done.returncode == LEAKED
    assert "more than 1 MiB" in done.stderr
    document = json.loads(done.stdout)
    assert document["rig"] == "process"
    assert [run["setting"] for run in document["runs"]] == ["on"]
    leaked = sum(leak["bytes"] for leak in document["runs"][0]["leaks"])
    assert document["runs"][0]["leaked"] == leaked > 1 << 20
    assert played(tmp_path, "--setting", "on", "--fail-on-leak", str(leaked)).returncode == 0
    assert played(tmp_path, "--setting", "on", "--fail-on-leak", str(leaked - 1)).returncode == LEAKED


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["--rig", "process", "--image", "IMAGE"], 2, "--image cannot be used with --rig process"),
        (["--rig", "process", "--record", "FILE"], 2, "--record cannot be used with --rig process"),
        (["--rig", "process", "--container-mb", "5"], 2, "--container-mb cannot be used with --rig process"),
        (["--history", "IMAGE", "--container-mb", "100"], 2, "--container-mb cannot be used with --history"),
        (["--rig", "process", "--history", "IMAGE", "--html", "IMAGE"], 2, "--html would replace"),
        (["--image", "IMAGE", "--json", "IMAGE"], 2, "--json would replace"),
        (["--rig", "process", "--history", "/nowhere/h"], 2, "File '/nowhere/h' does not exist"),
        (
            ["--rig", "process", "--subject", "containerd"],
            2,
            "--subject containerd cannot be used with --rig process",
        ),
        (
            ["--rig", "process", "--subject", "containerd", "--history", "IMAGE"],
            2,
            "--history cannot be used with --subject containerd",
        ),
        (["--rig", "process", "--dir", "/nowhere"], 2, "'--dir': '/nowhere' is not a directory; create it"),
        (["--rig", "nonsense"], 2, "nonsense"),
        (["--fail-on-leak", "lots"], 2, "invalid size"),
        (["--container-mb", "-1"], 2, "-1"),
        (["--setting", "maybe"], 2, "maybe"),
    ],
)
def test_a_mistake_is_explained_without_a_traceback(
    thinsim: Thinsim, tmp_path: Path, arguments: list[str], status: int, complaint: str
) -> None:
    (tmp_path / "IMAGE").write_bytes(b"")
    arguments = [str(tmp_path / word) if word in ("IMAGE", "FILE") else word for word in arguments]
    done = thinsim("reproduce", *arguments)
    assert done.returncode == status, done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.rig
def test_a_file_that_is_no_image_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    image = tmp_path / "image.tar"
    image.write_bytes(b"no tar at all" * 1000)
    work = tmp_path / "work"
    work.mkdir()
    done = as_process("reproduce", "--rig", "emulated", "--image", image, "--dir", work)
    assert done.returncode == 1
    assert str(image) in done.stderr
    assert "Traceback" not in done.stderr
    assert list(work.iterdir()) == []


@pytest.mark.rig
def test_a_machine_with_everything_runs_the_main_job_on_real_mounts(tmp_path: Path) -> None:
    done = as_process(
        *("reproduce", "--dir", tmp_path, "--setting", "committed", "--container-mb", "10"),
        *("--fail-on-leak", "0", "--json", tmp_path / "out.json"),
    )
    assert done.returncode == 0, done.stderr
    assert "rig emulated" in done.stderr
    (measured,) = json.loads((tmp_path / "out.json").read_text())["runs"]
    imported = [sample for sample in measured["samples"] if sample["phase"] == "image imported"]
    assert imported[-1]["host_allocated"] > 100 << 20
    assert all(sample["host_freed"] == sample["ledger_freed"] for sample in measured["samples"])
    assert measured["samples"][-1]["host_allocated"] == 0


@pytest.mark.rig
@pytest.mark.long
def test_two_reproductions_at_once_stay_out_of_each_others_way(tmp_path: Path) -> None:
    reproductions = []
    for name in ("one", "other"):
        directory = tmp_path / name
        directory.mkdir()
        words = ["reproduce", "--rig", "emulated", "--setting", "on", "--container-mb", "5"]
        command = [sys.executable, "-m", "thinsim", *words, "--dir", str(directory), "--json", "-"]
        reproductions.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    for each in reproductions:
        out, notes = each.communicate(timeout=300)
        assert each.returncode == 0, notes
        (measured,) = json.loads(out)["runs"]
        owners = {leak["owner"]["snapshot"] for leak in measured["leaks"]}
        assert owners == {f"layer-{n}" for n in range(1, 5)}
    assert [list((tmp_path / name).iterdir()) for name in ("one", "other")] == [[], []]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--setup", "lvm"), "--setup lvm needs --rig kernel or --rig vm: rig process has no set-ups."),
        (("--sysconfig", "FILE"), "--sysconfig needs --setup lvm: it configures container-storage-setup."),
    ],
)
def test_a_set_up_is_for_the_kernel_s_own_dm_thin(
    thinsim: Thinsim, tmp_path: Path, words: tuple[str, ...], text: str
) -> None:
    file = tmp_path / "docker-storage-setup"
    file.touch()
    words = tuple(str(file) if word == "FILE" else word for word in words)
    done = thinsim("reproduce", "--rig", "process", "--dir", tmp_path, *words)
    assert done.returncode == 2
    assert text in done.stderr
