"""KVM is tried once per boot, kernel and qemu; an unusable file of results costs one more try."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from thinsim.errors import CombinedError, ProgramFailedError, ThinsimError
from thinsim.vm import acceleration
from thinsim.vm.kernels import GuestKernel
from thinsim.vm.kvm_tries import Acceleration, Tried, recall, remember

TRIED = Tried("boot", "/boot/vmlinuz-6.1 1", "/usr/bin/qemu-system-x86_64 1")
HANGS = Acceleration(False, "a guest does not come up")
FILE = "kvm-tries.json"


def quiet(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "runtime"


def test_the_result_of_a_try_is_known_afterwards(place: Path) -> None:
    assert recall(TRIED, place) is None
    remember(TRIED, HANGS, place, quiet)
    assert recall(TRIED, place) == HANGS
    remember(TRIED, Acceleration(True, "came up"), place, quiet)
    assert recall(TRIED, place) == Acceleration(True, "came up")


@pytest.mark.parametrize("other", ["boot", "kernel", "qemu"])
def test_another_boot_kernel_or_qemu_is_tried_again(place: Path, other: str) -> None:
    remember(TRIED, HANGS, place, quiet)
    assert recall(replace(TRIED, **{other: "another"}), place) is None


def test_two_kernels_are_remembered_and_an_earlier_boot_is_forgotten(place: Path) -> None:
    newer = replace(TRIED, kernel="/boot/vmlinuz-6.12 1")
    remember(TRIED, HANGS, place, quiet)
    remember(newer, HANGS, place, quiet)
    assert recall(TRIED, place) == recall(newer, place) == HANGS
    remember(replace(TRIED, boot="next"), HANGS, place, quiet)
    assert len(json.loads((place / FILE).read_text())) == 1


def test_the_file_does_not_grow_without_end(place: Path) -> None:
    for number in range(40):
        remember(replace(TRIED, kernel=str(number)), HANGS, place, quiet)
    assert len(json.loads((place / FILE).read_text())) == 16
    assert recall(replace(TRIED, kernel="39"), place) == HANGS


def test_file_and_directory_are_the_users_alone(place: Path) -> None:
    remember(TRIED, HANGS, place, quiet)
    assert (place.stat().st_mode & 0o777, (place / FILE).stat().st_mode & 0o777) == (0o700, 0o600)
    assert [path.name for path in place.iterdir()] == [FILE]


ENTRY = {"boot": TRIED.boot, "kernel": TRIED.kernel, "qemu": TRIED.qemu, "kvm": False, "why": "hangs"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"null",
        b"{}",
        b"[1, null, []]",
        b"[" * 60000,
        json.dumps([ENTRY | {"kvm": "no"}]).encode(),
        json.dumps([ENTRY | {"why": None}]).encode(),
        json.dumps([{}, ENTRY]).encode() + b" " * 70000 + b"x",
    ],
    ids=["nothing", "no-text", "half", "null", "no-list", "no-entries", "deep", "kvm", "why", "long"],
)
def test_bad_content_counts_as_no_result_and_is_replaced(place: Path, content: bytes) -> None:
    place.mkdir(mode=0o700)
    (place / FILE).write_bytes(content)
    if content.endswith(b"x"):
        assert recall(TRIED, place) == Acceleration(False, "hangs")  # only blanks were cut off
    else:
        assert recall(TRIED, place) is None
    remember(TRIED, HANGS, place, quiet)
    assert recall(TRIED, place) == HANGS


def writable_by_all(place: Path) -> None:
    (place / FILE).chmod(0o666)


def directory_writable_by_all(place: Path) -> None:
    place.chmod(0o777)


def link(place: Path) -> None:
    (place / FILE).rename(place / "elsewhere")
    (place / FILE).symlink_to("elsewhere")


def pipe(place: Path) -> None:
    (place / FILE).unlink()
    os.mkfifo(place / FILE)


@pytest.mark.parametrize("spoil", [writable_by_all, directory_writable_by_all, link, pipe])
def test_a_file_that_others_could_have_written_is_not_believed(
    place: Path, spoil: Callable[[Path], None]
) -> None:
    remember(TRIED, HANGS, place, quiet)
    spoil(place)
    assert recall(TRIED, place) is None


@pytest.mark.root("gives a file away")
def test_the_file_of_another_user_is_not_believed(place: Path) -> None:
    remember(TRIED, HANGS, place, quiet)
    os.chown(place / FILE, 65534, 65534)
    assert recall(TRIED, place) is None


def test_a_result_that_cannot_be_saved_is_reported_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    printed: list[str] = []
    remember(TRIED, HANGS, tmp_path / "file" / "runtime", printed.append)
    assert printed == [f"cannot save the result of the KVM try: {printed[0].partition(': ')[2]}"]


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[GuestKernel]:
    """Return the kernels that were tried, where KVM exists and hangs."""
    made: list[GuestKernel] = []

    async def hang(kernel: GuestKernel, report: Callable[[str], None]) -> Acceleration:
        made.append(kernel)
        return HANGS

    (tmp_path / "kvm").write_text("")
    monkeypatch.setattr(acceleration, "KVM", tmp_path / "kvm")
    monkeypatch.setattr(acceleration, "try_kvm", hang)
    monkeypatch.setattr(acceleration, "usual_runtime_directory", lambda: tmp_path / "runtime")
    return made


async def test_kvm_is_tried_once_and_later_uses_of_the_result_report_how_to_try_again(
    tries: list[GuestKernel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = GuestKernel(tmp_path / "vmlinuz-1", "1")
    printed: list[str] = []
    assert acceleration.remembered(kernel) is None
    assert await acceleration.decide(kernel, printed.append) == HANGS
    assert printed == []
    # A run's own state directory and socket directory make no difference.
    monkeypatch.setenv("THINSIM_STATE_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("THINSIM_RUNTIME_DIR", str(tmp_path / "other"))
    assert await acceleration.decide(kernel, printed.append) == HANGS
    assert acceleration.remembered(kernel) == HANGS
    assert printed == [
        "KVM does not run guests, according to a try earlier in this boot "
        "(to try again, run: thinsim vm probe)"
    ]
    assert len(tries) == 1


async def test_a_requested_try_is_made_even_if_a_result_is_known(
    tries: list[GuestKernel], tmp_path: Path
) -> None:
    kernel = GuestKernel(tmp_path / "vmlinuz-1", "1")
    for _ in range(3):
        await acceleration.decide(kernel, quiet, again=True)
    assert len(tries) == 3


async def test_another_kernel_or_the_same_one_replaced_is_tried_again(
    tries: list[GuestKernel], tmp_path: Path
) -> None:
    kernel, other = (GuestKernel(tmp_path / f"vmlinuz-{number}", str(number)) for number in (1, 2))
    kernel.image.write_text("")
    await acceleration.decide(kernel, quiet)
    await acceleration.decide(other, quiet)
    os.utime(kernel.image, (1, 1))
    await acceleration.decide(kernel, quiet)
    assert tries == [kernel, other, kernel]


async def test_without_kvm_nothing_is_tried_and_nothing_remembered(
    tries: list[GuestKernel], tmp_path: Path
) -> None:
    acceleration.KVM.unlink()
    found = await acceleration.decide(GuestKernel(tmp_path / "vmlinuz-1", "1"), quiet)
    assert found == Acceleration(False, f"{acceleration.KVM} is missing")
    assert tries == []
    assert not (tmp_path / "runtime").exists()


@pytest.mark.parametrize(
    "failure", [ProgramFailedError("the guest did not boot"), CombinedError("could not clean up")]
)
async def test_a_try_that_fails_or_leaves_something_behind_finds_that_no_guest_boots(
    failure: ThinsimError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*words: object, **options: object) -> int:
        raise failure

    monkeypatch.setattr(acceleration, "run_in_guest", fail)
    monkeypatch.setenv("THINSIM_STATE_DIR", str(tmp_path / "state"))
    found = await acceleration.try_kvm(GuestKernel(tmp_path / "vmlinuz-1", "1"), lambda text: None)
    assert (found.kvm, found.why.rpartition(": ")[2]) == (False, str(failure))
