"""docs/evidence/fidelity.md is the output of its generator, and its reasons are those of the code."""

from collections import Counter

from tests.repository import REPOSITORY
from thinsim.conformance.answers.compare import Behaviour
from thinsim.conformance.answers.explained import known_reasons
from thinsim.conformance.answers.fidelity import fidelity_page, run_from_json, run_to_json
from thinsim.conformance.answers.recordings import read_recordings, recorded_files
from thinsim.conformance.answers.request_table import request_tables

EVIDENCE = REPOSITORY / "docs" / "evidence"
DATA = EVIDENCE / "data" / "fidelity.json"
MAKE = "is out of date: run `make fidelity` as root"


def test_the_page_is_what_make_fidelity_writes() -> None:
    run = run_from_json(DATA.read_text())
    kernels = [read_recordings(path) for path in recorded_files()]
    by_hand = (EVIDENCE / "fidelity-by-hand.md").read_text()
    page = fidelity_page(run, by_hand, request_tables(kernels, run.verdicts))
    assert (EVIDENCE / "fidelity.md").read_text() == page, MAKE


def test_the_data_is_of_the_recordings_and_of_the_reasons_as_they_are_now() -> None:
    run = run_from_json(DATA.read_text())
    histories = {
        recordings[0].source: len(recordings) for recordings in map(read_recordings, recorded_files())
    }
    emulated = {each.kernel: each.histories for each in run.verdicts if each.subject == "emulated"}
    assert emulated == histories, MAKE
    reasons = {each.why for verdict in run.verdicts for each in verdict.differences}
    assert reasons <= set(known_reasons()), MAKE


def test_a_run_is_read_as_it_was_written() -> None:
    text = DATA.read_text()
    run = run_from_json(text)
    assert run_to_json(run) == text
    assert all(isinstance(each, Behaviour) for verdict in run.verdicts for each in verdict.compared)
    assert Counter(verdict.unequal(Behaviour.CHECK) for verdict in run.verdicts) == {0: len(run.verdicts)}
