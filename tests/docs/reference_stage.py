"""The stage of reference sets up what the commands of its pages need."""

from tests.docs.stage_kinds import GUEST, LONGER, NEWER, NIGHTLY, CommandCase, Exempt, PageStage

_ONE_HISTORY = "--only names --to recorded.jsonl.xz"
_POOL = "thinsim pool create demo --dir demo --data-size 1G --metadata-size 64M"
_TEN_MIB = """eval "$(thinsim env)"
for _ in 1 2; do
    dmsetup message demo 0 "create_thin 1"
    dmsetup create it --table "0 20480 thin /dev/mapper/demo 1"
    dd if=/dev/urandom of=/dev/mapper/it bs=1M count=10 oflag=direct status=none
    test -e discarded || blkdiscard /dev/mapper/it; touch discarded
    dmsetup remove it
    dmsetup message demo 0 "delete 1"
done"""

STAGES = {
    "reference/commands.md": PageStage(
        fill={"SCENARIO": "container-exit", "NAME": "demo", "MOUNTPOINT": "mnt", "FILE": "mine.toml"},
        cases=(
            CommandCase("thinsim run", more="--rig process --json report.json"),
            CommandCase("thinsim scenarios", fill={"NAME": "churn"}),
            CommandCase("thinsim report", fill={"FILE": "report"}),
            CommandCase("thinsim env", fill={"COMMAND": "dmsetup version"}),
            CommandCase("thinsim conformance record", more=_ONE_HISTORY),
            CommandCase("thinsim conformance check", more="--only names"),
            CommandCase(
                "thinsim conformance run",
                instead={"1000-1009": "1000-1000"},
                more="--operations 20",
            ),
            CommandCase(
                "thinsim pool create NAME --dir DIR --rig",
                fill={"NAME": "other", "DIR": "other"},
                after="thinsim pool remove other",
            ),
            CommandCase("thinsim pool", fill={"DIR": "pool"}),
            CommandCase(
                "thinsim watch", before=f"{_POOL}\n{_TEN_MIB}", after="thinsim pool remove demo --keep-files"
            ),
            CommandCase("thinsim metadata", fill={"FILE": "demo/files/metadata"}),
            CommandCase(
                "fuse-backing mount", fill={"DIR": "images"}, before="thinsim dm stop; mkdir images mnt"
            ),
            CommandCase(
                "fuse-backing unmount", after="fuse-backing mount images mnt; truncate -s 1M mnt/disk"
            ),
            CommandCase("fuse-backing map", fill={"FILE": "mnt/disk"}),
            CommandCase(
                "fuse-backing faults set",
                fill={"PLAN": "plan.toml"},
                before="printf '%s\\n' '[[fault]]' 'operation = \"punch\"' 'action = \"lie\"' > plan.toml",
            ),
        ),
        finish="fuse-backing unmount mnt",
    ),
}

EXEMPT = (
    Exempt("reference/commands.md", "thinsim conformance check", LONGER, NIGHTLY),
    Exempt("reference/commands.md", "thinsim conformance run", GUEST, NIGHTLY),
    Exempt("reference/commands.md", "thinsim vm", GUEST, NIGHTLY),
    Exempt("reference/commands.md", "RELEASE=", NEWER, NIGHTLY),
    Exempt("reference/commands.md", "apt-get download", NEWER, NIGHTLY),
    Exempt("reference/commands.md", "depmod", NEWER, NIGHTLY),
    Exempt("reference/commands.md", "thinsim conformance record --kernel", NEWER, NIGHTLY),
)
