"""The stage of explanation sets up what the commands of its pages need."""

from tests.docs.stage_kinds import (
    GUEST,
    LIVE,
    LONGER,
    NIGHTLY,
    SAME_COUNTS,
    SMALL,
    TERMINATED,
    CommandCase,
    Exempt,
    PageStage,
)
from thinsim.workload.block_history import BUNDLED

_TWO_DISCARDS = "--only 'full, 1M' --only 'sparse, 64K + 4K'"
_POOL = "thinsim pool create demo --dir demo --data-size 1G --metadata-size 64M"
_CONFIG = "sed 's:/var/lib/containerd/devmapper:'$PWD/snapshots: stanza > config.toml"

STAGES = {
    "explanation/backing-store.md": PageStage(
        fill={"DIR": "followed", "MOUNTPOINT": "follow", "FILE": "events.jsonl"},
        cases=(
            CommandCase("fuse-backing mount --events", before="mkdir followed follow"),
            CommandCase(
                "fuse-backing events --follow",
                service=True,
                status=TERMINATED,
                after="fallocate -l 1M follow/disk; fallocate -p -l 64K follow/disk\n"
                "until grep -q punch ../records/*.out events.jsonl; do kill -0 $SERVICE; sleep 0.1; done",
            ),
        ),
        finish="fuse-backing unmount follow",
    ),
    "explanation/snapshotter.md": PageStage(
        cases=(
            CommandCase("thinsim snapshotter leaks", more="--fault A --rig process"),
            CommandCase(
                "thinsim snapshotter repair",
                before=f"{_POOL} > stanza\n{_CONFIG}",
                after="thinsim pool remove demo; thinsim dm stop",
            ),
        ),
    ),
    "explanation/rigs.md": PageStage(
        fill={"HISTORY": str(BUNDLED)},
        cases=(
            CommandCase("thinsim reproduce --rig vm --setup", before="cp $IMAGE image.tar"),
            # The recording that comes along takes a guest that is emulated a quarter of an hour.
            CommandCase(
                "thinsim reproduce --rig vm --history",
                fill={"HISTORY": "small.json.gz"},
                more="--setting on",
                before="cp $IMAGE app.tar; "
                f"thinsim reproduce --rig emulated {SMALL} --setting on --record small.json.gz",
            ),
            CommandCase("thinsim reproduce", more="--setting on"),
            CommandCase("thinsim conformance heights", more=_TWO_DISCARDS),
            CommandCase(
                "thinsim vm run --share . -- thinsim ci",
                fill={"FILE": "baseline.json"},
                more="--rounds 1 --leak-tolerance 1M",
                before="thinsim baseline save container-exit --rig emulated --rounds 1 -o baseline.json",
            ),
        ),
    ),
}

EXEMPT = (
    Exempt("explanation/snapshotter.md", "thinsim snapshotter", LONGER, NIGHTLY),
    Exempt("explanation/rigs.md", "thinsim reproduce --repeatable", LIVE, SAME_COUNTS),
    Exempt("explanation/rigs.md", "thinsim reproduce --rig vm", GUEST, NIGHTLY),
    Exempt(
        "explanation/rigs.md",
        "thinsim run container-exit --variant discard_blocks=true --rig vm",
        GUEST,
        NIGHTLY,
    ),
    Exempt("explanation/rigs.md", "thinsim vm run", GUEST, NIGHTLY),
    Exempt("explanation/rigs.md", "thinsim conformance heights --on vm", GUEST, NIGHTLY),
    Exempt("explanation/rigs.md", "thinsim conformance heights", LONGER, NIGHTLY),
)
