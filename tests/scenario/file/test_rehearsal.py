"""The rehearsal of a scenario refuses exactly the steps that the snapshotter refuses."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.silent_progress import SilentProgress
from thinsim.errors import failures_of
from thinsim.rig.process import PROCESS
from thinsim.scenario.file import run as running
from thinsim.scenario.file.library import find_scenario, library_names
from thinsim.scenario.file.loading import InvalidScenarioError, parse
from thinsim.scenario.file.rehearsal import RehearsalFault, rehearse, remarks
from thinsim.scenario.file.run import ScenarioRequest, run_scenario
from thinsim.scenario.file.steps.step import StepFailedError

HEAD = 'title = "t"\n[snapshotter]\nbase_image_size = "64MiB"\n'
TWO_VARIANTS = """
[[variant]]
name = "x"
[[variant]]
name = "y"
snapshotter = { discard_blocks = true }
"""
PREPARE = 'do = "prepare", key = "a"'
COMMIT = 'do = "commit", key = "a", name = "c"'
REMOVE = 'do = "remove", key = "a"'
WRITE = 'do = "write", key = "a", size = 4096'
IMPORT = 'do = "import", name = "layer", layers = 2, size = "1MiB"'
CRASH = 'do = "crash", during = "remove", key = "a", when = "before", at = "deactivate"'


def text_of(*steps: str, head: str = HEAD) -> str:
    lines = ",\n".join(f"  {{ {step} }}" for step in steps)
    return f'{head}\n[[phase]]\nname = "all"\nsteps = [\n{lines}\n]\n'


def faults(*steps: str, head: str = HEAD) -> list[RehearsalFault]:
    scenario = parse(text_of(*steps, head=head), "f.toml")
    return rehearse(scenario, scenario.variants)


@pytest.mark.parametrize(
    ("steps", "key", "text"),
    [
        ([PREPARE, 'do = "remove", key = "b"'], "key", "snapshot 'b' does not exist; there are: a"),
        ([IMPORT, 'do = "view", key = "v", parent = "layr-2"'], "parent", "did you mean layer-2?"),
        ([PREPARE, REMOVE, WRITE], "key", "snapshot 'a' was removed in phase 'all', step 2"),
        ([PREPARE, COMMIT, WRITE], "key", "snapshot 'a' was committed as 'c' in phase 'all', step 2"),
        ([PREPARE, COMMIT, WRITE.replace('"a"', '"c"')], "key", "'c' is committed, and only an active one"),
        ([PREPARE, PREPARE], "key", "there is an active snapshot 'a' already"),
        ([PREPARE, 'do = "prepare", key = "b", parent = "a"'], "parent", "'a' is an active snapshot, but a"),
        ([PREPARE, COMMIT, 'do = "prepare", key = "c"'], "key", "there is a committed snapshot 'c' already"),
        ([IMPORT, 'do = "remove", key = "layer-1"'], "key", "has a child, 'layer-2': remove that first"),
        ([IMPORT, 'do = "view", key = "v", parent = "layer-2"', 'do = "run", key = "v", size = 1'],
         "key", "snapshot 'v' is a view, which is read-only"),
        ([IMPORT, IMPORT], "name", "there is a committed snapshot 'layer-1' already"),
        ([IMPORT.replace('"layer"', '"x"') + ', parent = "y-1"'], "parent", "snapshot 'y-1' does not exist"),
        ([PREPARE, WRITE, WRITE], "name", "snapshot 'a' has files 'data' already"),
        ([PREPARE, WRITE, 'do = "delete", key = "a", name = "date"'], "name", "did you mean data?"),
        ([PREPARE, 'do = "release", key = "a"'], "key", "held device 'a' does not exist"),
        (['do = "hold", key = "a"'], "key", "snapshot 'a' does not exist"),
        ([PREPARE, CRASH, REMOVE], None, "the snapshotter is down since the crash: add a restart"),
        ([PREPARE, 'do = "remove", key = "b", fails = "EIO"'], "key", "snapshot 'b' does not exist"),
    ],
)  # fmt: skip
def test_a_step_that_cannot_succeed_is_found_with_its_key(
    steps: Sequence[str], key: str | None, text: str
) -> None:
    (fault,) = faults(*steps)
    assert fault.stops
    assert fault.place == ("phase", 0, "steps", len(steps) - 1, *([key] if key else []))
    assert fault.text.startswith(f"{steps[-1].split(chr(34))[1]} in phase 'all': ")
    assert text in fault.text


@pytest.mark.parametrize(
    "steps",
    [
        [PREPARE, REMOVE, PREPARE],
        [PREPARE, 'do = "prepare", key = "a", fails = "already_exists"', REMOVE],
        ['do = "remove", key = "b", fails = ["EIO", "not_found"]'],
        # A step that is expected to fail may have succeeded or not.
        [PREPARE, 'do = "remove", key = "a", fails = "failed_precondition"', REMOVE],
        [PREPARE, 'do = "remove", key = "a", fails = "failed_precondition"', PREPARE],
        ['do = "prepare", key = "a", fails = "ENOSPC"', PREPARE],
        ['do = "prepare", key = "a", fails = "ENOSPC"', WRITE],
        [PREPARE, 'do = "write", key = "a", size = 1, fails = "ENOSPC"', 'do = "delete", key = "a"'],
        [PREPARE, WRITE, 'do = "write", key = "a", size = 1, fails = "EIO"'],
        [PREPARE, CRASH, 'do = "restart"', REMOVE],
        [PREPARE, CRASH, 'do = "restart"', PREPARE],
        [PREPARE, 'do = "hold", key = "a", until = "delete"', 'do = "release", key = "a"'],
        [PREPARE, 'do = "run", key = "a", size = 1', 'do = "delete", key = "a", name = "container"'],
        ['do = "import", image = "x.tar"', 'do = "view", key = "v", parent = "layer-7"'],
        [IMPORT, 'do = "prepare", key = "a", parent = "layer-2"',
         'do = "overwrite", key = "a", name = "layer-1", size = 1'],
    ],
)  # fmt: skip
def test_a_step_that_may_succeed_is_not_refused(steps: Sequence[str]) -> None:
    assert faults(*steps) == []


def test_a_fault_names_its_variants_and_a_repeated_phase_has_it_once() -> None:
    head = (
        HEAD + '[[variant]]\nname = "x"\n[[variant]]\nname = "y"\nsnapshotter = { discard_blocks = true }\n'
    )
    (fault,) = faults(PREPARE, 'do = "remove", key = "a", only = "x"', WRITE, head=head)
    assert fault.text.endswith("was removed in phase 'all', step 2 (in variant 'x')")
    repeated = '[[phase]]\nname = "more"\nrepeat = 3\nsteps = [{ do = "remove", key = "n-{n}" }]\n'
    scenario = parse(text_of(PREPARE) + repeated, "f.toml")
    (fault,) = rehearse(scenario, scenario.variants)
    assert fault.text == "remove in phase 'more': snapshot 'n-1' does not exist; there are: a"


def test_an_assert_on_a_snapshot_that_never_was_is_a_fault_that_stops_nothing() -> None:
    (fault,) = faults(IMPORT, 'do = "assert", leaked_by = ["layer-2", "layer-3"]')
    assert (fault.stops, fault.place[-1]) == (False, "leaked_by")
    assert "snapshot 'layer-3' does not exist" in fault.text


def test_variants_that_add_nothing_are_remarked() -> None:
    head = HEAD + "".join(f'[[variant]]\nname = "{name}"\n' for name in "xyz")
    scenario = parse(text_of('do = "prepare", key = "a", only = ["x", "y"]', head=head), "f.toml")
    assert list(remarks(scenario)) == [
        (("variant", 1), "variant 'y' has the settings and the steps of variant 'x'"),
        (("variant", 2), "no step runs in variant 'z'"),
    ]


@pytest.mark.parametrize("name", library_names())
def test_the_library_has_no_fault_and_nothing_to_remark(name: str) -> None:
    scenario = find_scenario(name).scenario
    assert rehearse(scenario, scenario.variants) == []
    assert list(remarks(scenario)) == []


async def test_a_run_is_refused_before_it_starts_but_only_for_its_own_variants(tmp_path: Path) -> None:
    head = (
        HEAD + '[[variant]]\nname = "x"\n[[variant]]\nname = "y"\nsnapshotter = { discard_blocks = true }\n'
    )
    text = text_of(PREPARE, 'do = "remove", key = "b", only = "y"', head=head)
    scenario = parse(text, "f.toml")

    def request(*variants: str) -> ScenarioRequest:
        return ScenarioRequest(scenario, "f.toml", text, PROCESS, tmp_path, variants, directory=tmp_path)

    with pytest.raises(InvalidScenarioError) as caught:
        await run_scenario(request(), SilentProgress())
    assert caught.value.problems == (
        "f.toml:14: phase[1].steps[2].key: remove in phase 'all': snapshot 'b' does not exist; there are: a "
        "(in variant 'y')",
    )
    assert list(tmp_path.iterdir()) == []
    assert len((await run_scenario(request("x"), SilentProgress())).runs) == 1


_NAMES = st.sampled_from("abc")
_STEPS = st.one_of(
    st.builds('do = "prepare", key = "{}", parent = "{}"'.format, _NAMES, st.sampled_from(["", "", *"abc"])),
    st.builds('do = "view", key = "{}", parent = "{}"'.format, _NAMES, _NAMES),
    st.builds('do = "commit", key = "{}", name = "{}"'.format, _NAMES, _NAMES),
    st.builds('do = "remove", key = "{}"'.format, _NAMES),
    st.builds('do = "write", key = "{}", size = 4096, name = "{}"'.format, _NAMES, _NAMES),
    st.builds('do = "delete", key = "{}", name = "{}"'.format, _NAMES, _NAMES),
    st.builds('do = "overwrite", key = "{}", size = 1, name = "{}"'.format, _NAMES, _NAMES),
    st.builds('do = "prepare", key = "{}", fails = "already_exists"'.format, _NAMES),
    st.builds('do = "remove", key = "{}", fails = ["not_found", "failed_precondition"]'.format, _NAMES),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_STEPS, min_size=1, max_size=8))
def test_a_random_scenario_ends_at_the_first_step_that_its_rehearsal_refuses(steps: list[str]) -> None:
    text = text_of('do = "prepare", key = "a"', 'do = "commit", key = "a", name = "b"', *steps)
    scenario = parse(text, "f.toml")
    found = [fault for fault in rehearse(scenario, scenario.variants) if fault.stops]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "require_possible", lambda *_: None)
        request = ScenarioRequest(scenario, "f.toml", text, PROCESS, Path("/nowhere"))
        try:
            trio.run(run_scenario, request, SilentProgress())
        except BaseException as error:
            (failure,) = failures_of(error)
            assert isinstance(failure, StepFailedError), failure
        else:
            failure = None
    if found:
        assert failure is not None, f"the run passed {found[0]}"
    if not any("fails" in step for step in steps):  # such a step may fail or not
        assert bool(found) is (failure is not None), failure
        if found:
            line = text.splitlines().index("steps = [") + 2 + int(found[0].place[3])
            assert str(failure).startswith(f"f.toml:{line}: ")
