"""The stage of explanation sets up what the commands of its pages need."""

from tests.docs.stage_kinds import (
    GUEST,
    LIVE,
    LONGER,
    NIGHTLY,
    SAME_COUNTS,
    SMALL,
    CommandCase,
    Exempt,
    PageStage,
)
from thinsim.workload.block_history import BUNDLED

_TWO_DISCARDS = "--only 'full, 1M' --only 'sparse, 64K + 4K'"

STAGES = {
    "explanation/snapshotter.md": PageStage(
        cases=(CommandCase("thinsim snapshotter leaks", more="--fault A --rig process"),),
    ),
    "explanation/heights-of-a-discard.md": PageStage(
        cases=(CommandCase("thinsim conformance heights", more=_TWO_DISCARDS),),
    ),
    "explanation/set-ups.md": PageStage(
        cases=(CommandCase("thinsim reproduce --rig vm --setup", before="cp $IMAGE image.tar"),),
    ),
    "explanation/emulated-and-kernel.md": PageStage(
        fill={"HISTORY": str(BUNDLED)},
        cases=(
            # The recording that comes along takes a guest that is emulated a quarter of an hour.
            CommandCase(
                "thinsim reproduce --rig vm --history",
                fill={"HISTORY": "small.json.gz"},
                more="--setting on",
                before="cp $IMAGE app.tar; "
                f"thinsim reproduce --rig emulated {SMALL} --setting on --record small.json.gz",
            ),
            CommandCase("thinsim reproduce", more="--setting on"),
        ),
    ),
}

EXEMPT = (
    Exempt("explanation/snapshotter.md", "thinsim snapshotter", LONGER, NIGHTLY),
    Exempt("explanation/emulated-and-kernel.md", "thinsim reproduce --repeatable", LIVE, SAME_COUNTS),
    Exempt("explanation/emulated-and-kernel.md", "thinsim reproduce --rig vm", GUEST, NIGHTLY),
    Exempt("explanation/set-ups.md", "thinsim reproduce --rig vm", GUEST, NIGHTLY),
    Exempt("explanation/heights-of-a-discard.md", "thinsim conformance heights --on vm", GUEST, NIGHTLY),
    Exempt("explanation/heights-of-a-discard.md", "thinsim conformance heights", LONGER, NIGHTLY),
)
