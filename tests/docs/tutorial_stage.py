"""The stage of tutorial sets up what the commands of its pages need."""

from tests.docs.stage_kinds import MAIN_JOB, CommandCase, Exempt, PageStage

STAGES = {
    "tutorial/write-a-scenario.md": PageStage(
        prepare="""cat > wrong.toml <<'END'
title = "wrong"

[snapshotter]
discard_blocks = true

[[phase]]
name = "ran"

steps = [
    { do = "prepare", key = "container" },
    { do = "write", key = "container", size = "1 parsec" },
    { do = "jump" },
]
END""",
        cases=(CommandCase("thinsim scenarios check wrong.toml", status=1),),
    ),
}

EXEMPT = (
    Exempt("tutorial/get-started.md", "sudo make reproduce", "runs in a clone", MAIN_JOB),
    Exempt("tutorial/get-started.md", "make reproduce", "runs in a clone, without root", MAIN_JOB),
)
