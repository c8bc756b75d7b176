"""The stage of readme sets up what the commands of its pages need."""

from tests.docs.stage_kinds import MAIN_JOB, SMALL, CommandCase, Exempt, PageStage

_APP = "cp $IMAGE app.tar\n"

STAGES = {
    "README.md": PageStage(
        prepare=_APP
        + "thinsim baseline save container-exit --rig process --rounds 1 -o thinsim-baseline.json",
        fill={"FILE": "thinsim-baseline.json"},
        finish="thinsim pool remove demo; thinsim dm stop",
        cases=(
            CommandCase(".venv/bin/thinsim reproduce --image app.tar", more="--container-mb 4 --setting off"),
            CommandCase(".venv/bin/thinsim reproduce --setting", more=SMALL),
            CommandCase(".venv/bin/thinsim reproduce --rig process"),
            CommandCase(".venv/bin/thinsim reproduce", more=f"{SMALL} --setting on"),
            CommandCase(".venv/bin/thinsim ci", more="--rig process --rounds 1 --speed-tolerance 100"),
        ),
    ),
}

EXEMPT = (
    Exempt("README.md", "make test", "is what runs this test", ".ci/run"),
    Exempt("README.md", "make reproduce", "runs in a clone", MAIN_JOB),
)
