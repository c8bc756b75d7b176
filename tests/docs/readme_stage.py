"""The stage of readme sets up what the commands of its pages need."""

from tests.docs.stage_kinds import INSTALLATION, MAIN_JOB, SMALL, CommandCase, Exempt, PageStage

_APP = "cp $IMAGE app.tar\n"

STAGES = {
    "README.md": PageStage(
        prepare=_APP + "thinsim bench --contender process/core/on --rounds 1 --warm-up 0 --json after.json",
        fill={"FILE": "thinsim-baseline.json"},
        finish="thinsim dm stop",
        cases=(
            CommandCase(".venv/bin/thinsim reproduce --image app.tar", more="--container-mb 4 --setting off"),
            CommandCase(".venv/bin/thinsim reproduce --setting", more=SMALL),
            CommandCase(".venv/bin/thinsim reproduce --subject", more=f"{SMALL} --setting on"),
            CommandCase(".venv/bin/thinsim baseline save", more="--rig process --rounds 1"),
            CommandCase(".venv/bin/thinsim ci", more="--rig process --rounds 1 --speed-tolerance 100"),
            CommandCase(".venv/bin/thinsim bench", more="--contender process/core/on --rounds 1 --warm-up 0"),
        ),
    ),
}

EXEMPT = (
    Exempt("README.md", "make test", "is what runs this test", ".ci/run"),
    Exempt("README.md", "sudo apt-get install", "installs packages of the system", INSTALLATION),
    Exempt("README.md", "python3 -m venv", "installs thinsim in a clone", INSTALLATION),
    Exempt("README.md", "make reproduce", "runs in a clone", MAIN_JOB),
    Exempt("index.md", "sudo make reproduce", "runs in a clone", MAIN_JOB),
)
