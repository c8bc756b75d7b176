"""A guest can boot the kernels in /boot whose modules in /lib/modules include dm-thin-pool."""

from pathlib import Path

import pytest

from thinsim.errors import EnvironmentLacksError
from thinsim.vm.kernels import find_kernel, installed_kernels


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    boot, modules = tmp_path / "boot", tmp_path / "modules"
    boot.mkdir()
    modules.mkdir()
    return boot, modules


def install(
    places: tuple[Path, Path], release: str, listing: str = "modules.dep", line: str | None = None
) -> None:
    boot, modules = places
    (boot / f"vmlinuz-{release}").touch()
    (modules / release).mkdir()
    (modules / release / listing).write_text(
        line or "kernel/drivers/md/dm-thin-pool.ko: kernel/drivers/md/dm-mod.ko\n"
    )


def test_the_newest_release_is_first_and_numbers_count_as_numbers(places: tuple[Path, Path]) -> None:
    for release in ("6.9.1-amd64", "6.10.0-amd64", "5.10.0-8-amd64"):
        install(places, release)
    assert [each.release for each in installed_kernels(*places)] == [
        "6.10.0-amd64",
        "6.9.1-amd64",
        "5.10.0-8-amd64",
    ]
    assert find_kernel(None, *places).release == "6.10.0-amd64"


def test_thin_pool_built_into_the_kernel_counts_too(places: tuple[Path, Path]) -> None:
    install(places, "6.1.0", "modules.builtin", "kernel/drivers/md/dm-thin-pool.ko\n")
    assert find_kernel("6.1.0", *places).image == places[0] / "vmlinuz-6.1.0"


def test_a_kernel_without_modules_or_without_thin_pool_is_none(places: tuple[Path, Path]) -> None:
    install(places, "6.1.0-cloud", line="kernel/drivers/md/dm-mod.ko:\n")
    (places[0] / "vmlinuz-6.2.0").touch()
    assert installed_kernels(*places) == []
    with pytest.raises(
        EnvironmentLacksError, match=r"has no kernel with dm-thin-pool modules .*make setup-vm"
    ):
        find_kernel(None, *places)


def test_a_kernel_is_found_by_release_or_image_and_the_error_lists_the_installed_ones(
    places: tuple[Path, Path],
) -> None:
    install(places, "6.1.0")
    assert find_kernel(str(places[0] / "vmlinuz-6.1.0"), *places).release == "6.1.0"
    with pytest.raises(
        EnvironmentLacksError, match=r"modules '6\.2\.0' does not exist; did you mean 6\.1\.0"
    ):
        find_kernel("6.2.0", *places)


def test_an_unpacked_kernel_package_is_found_by_its_image(places: tuple[Path, Path], tmp_path: Path) -> None:
    unpacked = (tmp_path / "unpacked/boot", tmp_path / "unpacked/lib/modules")
    for folder in unpacked:
        folder.mkdir(parents=True)
    install(unpacked, "6.12.0")
    install(places, "6.1.0")
    found = find_kernel(str(unpacked[0] / "vmlinuz-6.12.0"), *places)
    assert (found.image, found.release) == (unpacked[0] / "vmlinuz-6.12.0", "6.12.0")
    (unpacked[1] / "6.12.0/modules.dep").unlink()
    with pytest.raises(EnvironmentLacksError, match=r"vmlinuz-6\.12\.0' does not exist"):
        find_kernel(str(unpacked[0] / "vmlinuz-6.12.0"), *places)
