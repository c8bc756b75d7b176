"""A command in a document's text runs from a block of some page, or has a reason."""

from dataclasses import dataclass

import pytest

from tests.docs.document_shell import filled
from tests.docs.document_stages import case_of, stage_of
from tests.docs.documented_commands import PAGES, commands_of, page_name
from tests.docs.prose_commands import TEXTS, Named, named_in, named_in_text
from tests.repository import REPOSITORY


@dataclass(frozen=True, slots=True)
class Unshown:
    """An `Unshown` command is in no block: *why*, and the file that runs it, or ``""`` if none does."""

    words: str
    why: str
    run_by: str = ""


UNSHOWN = (
    Unshown("make setup", "what all other targets begin with", "Makefile"),
    Unshown("make setup-vm", "what make documents-nightly begins with", "Makefile"),
    Unshown("make lint", "a step of the gate", ".ci/run"),
    Unshown("python -m tools.plain_english", "a step of make lint", "Makefile"),
    Unshown("make changelog-draft", "tests/docs/test_changelog.py runs towncrier in the same way"),
    Unshown("make docs", "a step of the gate", ".ci/run"),
    Unshown("make check", "a part of make test, for every edit"),
    Unshown("make test-vm", "minutes of a guest; its tests are those that need the kernel's device-mapper"),
    Unshown("make check-dist", "runs with the installation", "tests/docs/test_installation.py"),
    Unshown("python -m thinsim.dm.daemon", "a process's name", "tests/machine_state.py"),
    Unshown("thinsim --help", "no command", "tests/cli/test_scenario_commands.py"),
    Unshown("make documents-nightly", "is what runs the others that are not run with their page"),
    Unshown("make format", "changes the sources; make lint has what it does with --check"),
    Unshown("make fidelity", "writes a page of the clone again; its test compares that page"),
    Unshown("make matrix", "two hours; make test-long runs a row", "tests/docs/test_matrix.py"),
    Unshown("make crashes-page", "writes a page of the clone again; its test compares that page"),
    Unshown("make containerd-versions-page", "two minutes; test_containerd_versions.py runs a short form"),
    Unshown("make containerd-builds", "make test runs it"),
    Unshown(
        "make containerd-patched-pages", "twenty minutes; its test compares the pages with the kept data"
    ),
    Unshown(
        "make containerd-patched", "ten minutes of a compiler; test_containerd_patches.py uses its builds"
    ),
    Unshown("make verdict-rates", "most of an hour; test_verdict_rates.py runs a short form"),
    Unshown("thinsim run --repeatable", "is run on mounts", "tests/regression/test_planted_regressions.py"),
    Unshown("make pictures", "writes the pictures of the clone again; test_report_pictures.py makes one"),
    Unshown("make posix-page", "a quarter of an hour; test_posix_suite.py runs parts", "Makefile"),
    Unshown("make bench-removal", "minutes; python -m benchmarks.removal is run in a short form"),
    Unshown("make same-counts", "a quarter of an hour of guests"),
    Unshown("make test-long", "a quarter of an hour and more"),
    Unshown("make soak-dmsetup", "ten minutes; its test runs in a short form with make test"),
    Unshown("make campaign-metadata", "a quarter of an hour; its tests run in a short form with make test"),
    Unshown("make campaign-crashes", "the better part of an hour; thinsim snapshotter crashes runs for one"),
    Unshown("make conformance-nightly", "hours; thinsim conformance run is run for a history"),
    Unshown("make conformance-record", "hours; thinsim conformance record is run for a history"),
    Unshown("make record-dmsetup", "writes files of the clone again, ten minutes; its recorder has tests"),
)


def as_shown() -> list[Named]:
    """Return the commands of all blocks, as they are shown and as they are run."""
    found = []
    for page in PAGES:
        stage = stage_of(page_name(page))
        for shown in commands_of(page):
            for text in shown.alternatives():
                case = case_of(stage, text)
                found += [*named_in(text), *named_in(case.more)]
                if not shown.session:
                    found += named_in(f"{filled_or_not(text, page_name(page))} {case.more}")
    return found


def filled_or_not(text: str, page: str) -> str:
    try:
        return filled(text, stage_of(page))
    except ValueError:
        return text  # not run with its page: document_stages.py has the reason


SHOWN = as_shown()
NAMED = sorted({(page_name(page), str(each)) for page in (*PAGES, *TEXTS) for each in named_in_text(page)})


def is_shown(words: str) -> bool:
    (named,) = named_in(words)
    return any(each.covers(named) for each in SHOWN)


@pytest.mark.parametrize(("page", "words"), NAMED)
def test_a_command_in_a_text_is_shown_in_a_block_or_has_a_reason(page: str, words: str) -> None:
    said = [each for each in UNSHOWN if words == each.words]
    assert is_shown(words) or said, f"{page} names {words}: show it in a block, which is run, or say why not"


@pytest.mark.parametrize("unshown", UNSHOWN, ids=lambda each: each.words)
def test_a_command_without_a_block_is_named_by_a_text_and_its_file_runs_it(
    unshown: Unshown,
) -> None:
    assert unshown.words in {words for _, words in NAMED}
    assert not is_shown(unshown.words)
    program, *_, word = unshown.words.split()
    if program == "make":
        assert f"\n{word}:" in (REPOSITORY / "Makefile").read_text()
    assert not unshown.run_by or word in (REPOSITORY / unshown.run_by).read_text()


def one(text: str) -> Named:
    (found,) = named_in(text)
    return found


@pytest.mark.parametrize(
    ("shown", "named"),
    [
        ("thinsim run container-exit --rig vm", "thinsim run NAME --rig vm"),
        ("thinsim run container-exit --rig=vm", "thinsim run"),
        ("sudo .venv/bin/thinsim pool create demo --dir d", "thinsim pool"),
        ("thinsim ci --baseline b.json --rig kernel", "thinsim ci --baseline FILE"),
        ("make bench-engine BENCH_ARGUMENTS='--up-to 4'", "make bench-engine"),
        ("python -m fuse_backing mount a b", "fuse-backing mount"),
    ],
)
def test_a_command_with_the_same_options_covers(shown: str, named: str) -> None:
    assert one(shown).covers(one(named))


@pytest.mark.parametrize(
    ("shown", "named"),
    [
        ("thinsim run container-exit --rig emulated", "thinsim run NAME --rig vm"),
        ("thinsim conformance heights", "thinsim conformance heights --on vm"),
        ("thinsim pool list", "thinsim pool create"),
        ("thinsim dm stop", "thinsim dm stop --force"),
        ("thinsim ci --baseline b.json", "thinsim ci --baseline FILE --rig kernel"),
        ("make bench-engine", "make bench-removal"),
        ("python -m benchmarks.dropin", "python -m benchmarks.removal"),
    ],
)
def test_another_command_or_one_without_its_options_does_not(shown: str, named: str) -> None:
    assert not one(shown).covers(one(named))


def test_what_is_passed_to_a_guest_or_evaluated_is_a_command_of_its_own() -> None:
    assert [str(each) for each in named_in("thinsim vm run --share . -- thinsim ci --rig kernel")] == [
        "thinsim vm run --share .",
        "thinsim ci --rig kernel",
    ]
    assert [str(each) for each in named_in('eval "$(thinsim env)"; A=b thinsim dm stop')] == [
        "thinsim env",
        "thinsim dm stop",
    ]
