"""Finds the stage of a page among those of all folders."""

from tests.docs import (
    evidence_stage,
    explanation_stage,
    howto_stage,
    readme_stage,
    reference_stage,
    tutorial_stage,
)
from tests.docs.stage_kinds import CommandCase, Exempt, PageStage

_ROOMS = (readme_stage, tutorial_stage, howto_stage, reference_stage, explanation_stage, evidence_stage)
STAGES = {page: stage for room in _ROOMS for page, stage in room.STAGES.items()}
EXEMPT = tuple(each for room in _ROOMS for each in room.EXEMPT)


def stage_of(page: str) -> PageStage:
    """Return what *page* needs, by default nothing."""
    return STAGES.get(page, PageStage())


def exempt(page: str, command: str) -> Exempt | None:
    """Return why *command* is not run with its page; None if it is."""
    return next((each for each in EXEMPT if each.page == page and command.startswith(each.words)), None)


def case_of(stage: PageStage, command: str) -> CommandCase:
    """Return what is special about *command*; the first of the stage's cases goes before others."""
    return next((case for case in stage.cases if command.startswith(case.words)), CommandCase(""))
