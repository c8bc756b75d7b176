"""The stage of reference sets up the needs of its pages, and of those that add a kind."""

from tests.docs.stage_kinds import CommandCase, Exempt, PageStage

_EXAMPLE = "tests/docs/test_worked_examples.py"
_CHANGED = "runs in a copy of the tree, with the page's files added"
_PLAN = "printf '%s\\n' '[[fault]]' 'operation = \"punch\"' 'action = \"lie\"' > plan.toml"

STAGES = {
    "reference/thinsim.md": PageStage(
        cases=(CommandCase("thinsim reproduce", instead={"20": "4"}, more="--image $IMAGE --rig emulated"),),
    ),
    "reference/exit-statuses.md": PageStage(
        cases=(CommandCase("thinsim run", more="--rig process", status=3),),
    ),
    "reference/scenario-file.md": PageStage(
        prepare="thinsim scenarios new mine.toml",
        fill={"FILE": "mine.toml"},
    ),
    "reference/store-protocol.md": PageStage(
        fill={"MOUNTPOINT": "store", "PLAN": "plan.toml"},
        cases=(
            CommandCase(
                "fuse-backing faults set", before=f"{_PLAN}\nfuse-backing mount files store > mounted 2>&1"
            ),
            CommandCase("fuse-backing faults clear", after="fuse-backing unmount store"),
        ),
    ),
}

EXEMPT = (
    Exempt("howto/add-a-rig.md", "python -m pytest", _CHANGED, _EXAMPLE),
    Exempt("howto/add-a-rig.md", "thinsim run container-exit --rig memory", _CHANGED, _EXAMPLE),
    Exempt("howto/add-a-step.md", "thinsim scenarios schema >", _CHANGED, _EXAMPLE),
    Exempt("howto/add-a-step.md", "python -m pytest", _CHANGED, _EXAMPLE),
)
