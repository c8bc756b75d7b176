"""The lifecycle's sums agree on host file systems that free space in their own units."""

import io
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.host_file_systems import HostFileSystem, host_file_system, missing_for
from tests.silent_progress import SilentProgress
from thinsim.cli.main import commands
from thinsim.errors import EnvironmentLacksError
from thinsim.report.report_table import print_report
from thinsim.report.reproduction_report import reproduction_report
from thinsim.rig.emulated import EMULATED
from thinsim.rig.host_file import exact_host_accounting, freed_bytes, host_allocation, prepare_host_directory
from thinsim.scenario.container_lifecycle import SETTINGS
from thinsim.scenario.reproduce import ReproductionRequest, run_reproduction
from thinsim.workload.image import build_image

MIB = 1 << 20
WORDS = {
    "btrfs": "measured; btrfs frees a data extent (up to 128 MiB) as a whole",
    "btrfs compressed": "measured; btrfs frees a data extent (up to 128 MiB) as a whole",
    "ext4 with clusters of 1 MiB": "measured; ext4 allocates and frees clusters of 1048576 bytes (bigalloc)",
    "xfs with an extent size hint": "measured; xfs allocates 1048576 bytes at once for files here",
    "tmpfs with huge pages": "measured; tmpfs allocates huge pages of 2097152 bytes",
}

pytestmark = pytest.mark.rig
unlike_ext4 = pytest.mark.parametrize("host", WORDS, indirect=True)


@pytest.fixture
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HostFileSystem]:
    missing = missing_for(request.param)
    if missing is not None:
        pytest.skip(missing)
    with host_file_system(request.param, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = tmp_path_factory.mktemp("sources")
    sources.chmod(0o755)  # an image takes only files that anybody may read
    fill = random.Random(3)
    for number in range(80):
        (sources / f"file{number}").write_bytes(fill.randbytes(fill.randrange(1, 150_000)))
    return build_image(tmp_path_factory.mktemp("image") / "image.tar", size=3 * MIB, sources=[sources]).path


def punching_by_doctor(directory: Path) -> dict[str, Any]:
    """Return doctor's finding about hole punching in *directory*."""
    arguments = ["--dir", str(directory), "--json"]
    result = CliRunner().invoke(commands, ["doctor", *arguments], standalone_mode=False)
    [found] = [
        each
        for each in json.loads(result.output)["findings"]
        if each["name"] == f"hole punching in {directory}"
    ]
    return dict(found)


@unlike_ext4
async def test_the_law_of_conservation_closes(host: HostFileSystem, image: Path) -> None:
    request = ReproductionRequest(
        rig=EMULATED,
        settings=SETTINGS[1:2],
        image=image,
        container_bytes=4 * MIB,
        data_size=None,
        directory=host.directory,
    )
    result = await run_reproduction(request, SilentProgress())
    report = reproduction_report(request, result)
    assert report.environment["freed bytes"].startswith(WORDS[host.kind])
    shown = io.StringIO()
    print_report(Console(file=shown, width=200), report)
    assert f"host freed: {report.environment['freed bytes']}" in shown.getvalue()
    [run] = result.runs
    held = 0
    for sample in run.samples:
        assert sample.host_freed == sample.ledger_freed
        held += sample.host_grown - sample.host_freed
        assert held == sample.host_allocated
        needed = sample.host_allocated - sample.leaked - sample.host_kept
        assert 0 <= needed <= sample.pool_used_blocks * 65536
        assert sample.host_kept >= 0
    assert sum(sample.ledger_freed for sample in run.samples) > 0
    assert run.samples[-1].leaked > 0  # committed snapshots leak


@unlike_ext4
def test_doctor_reports_how_the_host_of_a_directory_accounts(host: HostFileSystem) -> None:
    found = punching_by_doctor(host.directory)
    assert found["present"]
    assert WORDS[host.kind].removeprefix("measured; ") in found["detail"]


@pytest.mark.parametrize("host", ["overlay on btrfs"], indirect=True)
def test_a_host_that_hides_what_it_frees_is_a_lack_with_its_fix(host: HostFileSystem) -> None:
    with pytest.raises(EnvironmentLacksError, match=r"hides how .*; use a directory .*, name it with --dir"):
        prepare_host_directory(host.directory)
    assert freed_bytes(host.directory).startswith("not measured: ")
    found = punching_by_doctor(host.directory)
    assert not found["present"]
    assert found["fix"] == "use a directory on that file system itself, name it with --dir"


@pytest.mark.parametrize(
    ("host", "attribute"),
    [("btrfs", ""), ("btrfs compressed", ""), ("btrfs", "c"), ("btrfs", "m")],
    indirect=["host"],
)
def test_files_of_a_run_on_btrfs_are_overwritten_in_place(host: HostFileSystem, attribute: str) -> None:
    if attribute:  # compressed or never compressed: btrfs allows neither together with C
        subprocess.run(["chattr", f"+{attribute}", host.directory], check=True)
    prepare_host_directory(host.directory)
    file = host.directory / "file"
    file.write_bytes(b"abcdefgh" * MIB)
    held = host_allocation(file).held
    with file.open("r+b") as again:
        for offset in range(0, 8 * MIB, MIB):
            again.seek(offset)
            again.write(b"12345678" * 8192)
    assert host_allocation(file).held == held
    assert host_allocation(file).allocated == 8 * MIB
    flags = subprocess.run(["lsattr", file], capture_output=True, text=True, check=True).stdout
    assert "C" in flags.split()[0]
    assert exact_host_accounting(host.directory).kind == "btrfs"
