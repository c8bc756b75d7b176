"""Each step of scenario files works and fails as documented, on the rig without mounts."""

from pathlib import Path

import pytest

from tests.silent_progress import SilentProgress
from thinsim.rig.process import PROCESS
from thinsim.scenario.file.loading import parse
from thinsim.scenario.file.run import ScenarioRequest, VariantResult, run_scenario
from thinsim.scenario.file.steps.step import StepFailedError
from thinsim.snapshotter.events import DiscardSkipped

HEAD = 'title = "t"\n[snapshotter]\ndiscard_blocks = true\nbase_image_size = "64MiB"\n'


async def run(directory: Path, *steps: str, head: str = HEAD) -> VariantResult:
    lines = ",\n".join(f"  {{ {step} }}" for step in steps)
    text = f'{head}\n[[phase]]\nname = "all"\nsteps = [\n{lines}\n]\n'
    request = ScenarioRequest(parse(text, "t"), "t", text, PROCESS, directory, directory=directory)
    (result,) = (await run_scenario(request, SilentProgress())).runs
    return result


def outcome(result: VariantResult, number: int = -1) -> tuple[bool, str]:
    return result.outcomes[number].held, result.outcomes[number].found


PREPARE = 'do = "prepare", key = "a"'
WRITE = 'do = "write", key = "a", size = "1MiB"'


async def test_an_assert_that_does_not_hold_is_reported_and_the_run_goes_on(tmp_path: Path) -> None:
    result = await run(
        tmp_path,
        PREPARE,
        WRITE,
        'do = "assert", leaked = { at_least = 1 }, pool_used = { equal = "1MiB", within = "256KiB" }',
        'do = "assert", snapshots = ["b"], why = "never made"',
        'do = "remove", key = "a"',
    )
    assert [each.held for each in result.outcomes] == [False, True, False]
    assert outcome(result, 0) == (False, "0")
    assert outcome(result, 2) == (False, "a")
    assert result.outcomes[2].why == "never made"
    assert result.samples[-1].step == "remove a"


async def test_an_assert_has_the_same_words_in_every_run_and_found_has_the_old_value(
    tmp_path: Path,
) -> None:
    def end(size: int) -> tuple[str, ...]:
        wrote = f'do = "write", key = "a", size = "{size}MiB"'
        return (PREPARE, wrote, 'do = "assert", pool_used = { same_as = "all", within = "1MiB" }')

    one = (await run(tmp_path, *end(1))).outcomes[-1]
    other = (await run(tmp_path, *end(3))).outcomes[-1]
    assert one.asserted == other.asserted == "pool_used as after 'all' ± 1 MiB (1048576)"
    assert one.found != other.found
    now, then = one.found.split(", then ")
    assert now == then


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ('do = "write", key = "a", size = "200MiB"', "phase 'all': write a data: No space left on device$"),
        (
            'do = "import", image = "x.tar"',
            "phase 'all': import layer: .*x.tar",
        ),
    ],
)
async def test_a_step_that_is_refused_ends_the_run_and_is_named(
    tmp_path: Path, step: str, words: str
) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 (a group of one, on this rig)
        await run(tmp_path, PREPARE, step)
    assert (
        caught.group_contains(StepFailedError, match=words)
        if isinstance(caught.value, BaseExceptionGroup)
        else isinstance(caught.value, StepFailedError)
    )
    assert list(tmp_path.iterdir()) == []


async def test_a_refusal_that_was_expected_is_an_outcome(tmp_path: Path) -> None:
    result = await run(
        tmp_path,
        PREPARE,
        'do = "prepare", key = "a", fails = "already_exists"',
        'do = "remove", key = "b", fails = ["not_found", "EIO"]',
        'do = "write", key = "a", size = 4096, fails = "ENOSPC"',
    )
    assert [each.held for each in result.outcomes] == [True, True, False]
    assert outcome(result) == (False, "it succeeded")


async def test_a_crash_point_that_never_comes_is_an_error(tmp_path: Path) -> None:
    crash = 'do = "crash", during = "remove", key = "a", when = "after", at = "mkfs"'
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await run(tmp_path, PREPARE, crash)
    assert caught.group_contains(StepFailedError, match="there was no mkfs to crash after")


@pytest.mark.parametrize(
    ("when", "act", "left"),
    [
        ("before", "discard", 1),
        ("after", "discard", 1),
        ("before", "deactivate", 1),
        ("after", "deactivate", 1),
        ("before", "delete", 1),
        ("after", "delete", 0),
    ],
)
async def test_a_crash_leaves_finished_acts_and_nothing_after_them(
    tmp_path: Path, when: str, act: str, left: int
) -> None:
    result = await run(
        tmp_path,
        PREPARE,
        WRITE,
        f'do = "crash", during = "remove", key = "a", when = "{when}", at = "{act}"',
        f'do = "assert", thin_devices = {left}, host_allocated = {{ at_least = {0} }}',
        'do = "restart"',
        'do = "assert", snapshots = ["a"]',
    )
    assert [each.held for each in result.outcomes] == [True, True, True]
    freed = sum(sample.host_freed for sample in result.samples)
    assert (freed == 0) == ((when, act) == ("before", "discard"))


async def test_a_device_held_until_its_removal_loses_its_discard_alone(tmp_path: Path) -> None:
    result = await run(
        tmp_path, PREPARE, WRITE, 'do = "hold", key = "a", until = "deactivate"', 'do = "remove", key = "a"'
    )
    assert {leak.owner.reason for leak in result.leaks} == {DiscardSkipped.BUSY}
    assert result.samples[-1].pool_used_blocks == 0


async def test_a_phase_is_repeated_with_numbers_in_its_texts(tmp_path: Path) -> None:
    head = HEAD + '[[phase]]\nname = "two"\nrepeat = 2\nsteps = [{ do = "prepare", key = "n-{n}" }]\n'
    result = await run(tmp_path, 'do = "assert", snapshots = ["n-1", "n-2"]', head=head)
    assert outcome(result) == (True, "n-1, n-2")


async def test_overwriting_inherited_files_breaks_sharing_and_trim_frees_deleted_ones(
    tmp_path: Path,
) -> None:
    result = await run(
        tmp_path,
        'do = "import", name = "base", size = "2MiB"',
        'do = "prepare", key = "a", parent = "base-1"',
        'do = "overwrite", key = "a", name = "base-1", size = "1MiB"',
        'do = "delete", key = "a", name = "base-1"',
        'do = "trim", key = "a"',
    )
    by_step = {sample.step: sample for sample in result.samples}
    grown = by_step["overwrite base-1 in a"].host_grown
    assert 1 << 20 <= grown <= (1 << 20) + (512 << 10)
    # Blocks shared with the layer are unmapped but not passed down; copied blocks are freed.
    assert by_step["trim a"].host_freed >= 1 << 20
    assert by_step["trim a"].leaked == 0
