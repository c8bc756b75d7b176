"""`stage_of` finds the stage of a page among those of all folders."""

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
    """Return the stage of *page*; by default an empty one."""
    return STAGES.get(page, PageStage())


def exempt(page: str, command: str) -> Exempt | None:
    """Return the exemption if *command* is not run with its page, else None."""
    return next((each for each in EXEMPT if each.page == page and command.startswith(each.words)), None)


def case_of(stage: PageStage, command: str) -> CommandCase:
    """Return the case of *command*; the first matching case of the stage counts."""
    return next((case for case in stage.cases if command.startswith(case.words)), CommandCase(""))
