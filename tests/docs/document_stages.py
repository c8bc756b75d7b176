"""Sets up what each document's commands need: files, pools, words for placeholders, small sizes.

A command that stands in none of these is run as it is written.
"""

from dataclasses import dataclass, field

from thinsim.workload.block_history import BUNDLED

GUEST = "needs a guest with a kernel of its own, minutes where it is emulated"
NEWER = "takes another kernel from the network and boots it in a guest"
NIGHTLY = "make documents-nightly"
CLONE = "runs in a clone, and installs what it measures"
LONGER = "takes some seconds more than the tests of every change should"
LIVE = "runs with each of two rigs, whose numbers are compared"
SAME_COUNTS = "make same-counts"
MAIN_JOB = "tests/docs/test_main_job.py"

TERMINATED = 143
"""The exit status of what SIGTERM ended."""

SMALL = "--image app.tar --container-mb 4"
"""More words for ``thinsim reproduce``: an image of 4 MiB."""


@dataclass(frozen=True, slots=True)
class CommandCase:
    """What is special about the commands that begin with *words*.

    *fill* has words for placeholders, *instead* smaller sizes for those shown, *more* is put behind the
    command, *before* and *after* are lines of shell around it, *status* is what it exits with. *service* is
    for one that serves until it is ended: it runs in the background from *before* to *after*.
    """

    words: str
    fill: dict[str, str] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)
    more: str = ""
    before: str = ""
    after: str = ""
    status: int = 0
    service: bool = False


@dataclass(frozen=True, slots=True)
class PageStage:
    """A page: *prepare* and *finish* are lines of shell before the first command and after the last."""

    prepare: str = ""
    finish: str = ""
    fill: dict[str, str] = field(default_factory=dict)
    cases: tuple[CommandCase, ...] = ()


@dataclass(frozen=True, slots=True)
class Exempt:
    """Commands of *page* that are not run with the page: why, and what runs them: a make target or a file."""

    page: str
    words: str
    why: str
    run_by: str


_TWO_DISCARDS = "--only 'full, 1M' --only 'sparse, 64K + 4K'"
_ONE_HISTORY = "--only names --to recorded.jsonl.xz"
_APP = "cp $IMAGE app.tar\n"
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
_CONTAINERD = """cat > config.toml <<END
version = 2
root = "$PWD/containerd/root"
state = "$PWD/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$THINSIM_RUNTIME_DIR/containerd.sock"
[ttrpc]
address = "$THINSIM_RUNTIME_DIR/containerd.ttrpc"
$(sed -n "s:/var/lib/containerd/devmapper:$PWD/snapshots:; /plugins/,/discard_blocks/p" ../records/0.out)
END
export CONTAINERD_ADDRESS=$THINSIM_RUNTIME_DIR/containerd.sock
cp $IMAGE image.tar
containerd --config config.toml > containerd.log 2>&1 &
SERVICE=$!
until ctr version > /dev/null 2>&1; do kill -0 $SERVICE; sleep 0.1; done"""
_CONFIG = "sed 's:/var/lib/containerd/devmapper:'$PWD/snapshots: stanza > config.toml"
_COLLECT = 'ctr leases delete --sync "$(ctr leases create)"'

STAGES = {
    "backing-store.md": PageStage(
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
    "benchmarks.md": PageStage(
        cases=(
            CommandCase("make", instead={"make": "make -C $CLONE"}),
            CommandCase(".venv/bin/python", instead={".venv": "env -C $CLONE .venv"}),
            CommandCase(
                "thinsim bench",
                instead={"-mb 40": "-mb 5", "-mb 10": "-mb 4", "-mb 20": "-mb 4"},
                more="--rounds 1 --warm-up 0",
            ),
        ),
    ),
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
    "commands.md": PageStage(
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
    "containerd.md": PageStage(
        cases=(
            CommandCase("ctr images import", before=_CONTAINERD),
            CommandCase("ctr containers rm", after=_COLLECT),
            CommandCase("ctr images rm", after=_COLLECT),
        ),
        finish="kill $SERVICE; wait $SERVICE\nthinsim pool remove demo; thinsim dm stop",
    ),
    "crashes.md": PageStage(
        cases=(CommandCase("thinsim snapshotter crashes", more="--operation commit --profile fixed"),),
    ),
    "snapshotter.md": PageStage(
        cases=(
            CommandCase("thinsim snapshotter leaks", more="--fault A --rig process"),
            CommandCase(
                "thinsim snapshotter repair",
                before=f"{_POOL} > stanza\n{_CONFIG}",
                after="thinsim pool remove demo; thinsim dm stop",
            ),
        ),
    ),
    "proxy-snapshotter.md": PageStage(
        prepare=f"{_POOL} > stanza\n{_CONFIG}",
        fill={"CONFIG": "config.toml", "SOCKET": "$THINSIM_RUNTIME_DIR/snapshotter.sock"},
        cases=(
            CommandCase("thinsim reproduce --subject proxy", more=f"{SMALL} --setting on", before=_APP),
            CommandCase(
                "thinsim snapshotter serve",
                service=True,
                after="until test -S $THINSIM_RUNTIME_DIR/snapshotter.sock; do\n"
                "    kill -0 $SERVICE; sleep 0.1\n"
                "done",
            ),
        ),
        finish="thinsim pool remove demo; thinsim dm stop",
    ),
    "reports.md": PageStage(
        prepare="thinsim scenarios new my.toml",
        cases=(
            CommandCase("thinsim baseline save", more="--rig process --rounds 1"),
            CommandCase("thinsim ci", more="--rig process --rounds 1 --speed-tolerance 100"),
        ),
    ),
    "rigs.md": PageStage(
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
    "scenarios.md": PageStage(
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
    Exempt("README.md", "make test", "is what runs this test", ".ci/run"),
    Exempt("README.md", "make reproduce", "runs in a clone", MAIN_JOB),
    Exempt("get-started.md", "sudo make reproduce", "runs in a clone", MAIN_JOB),
    Exempt("get-started.md", "make reproduce", "runs in a clone, without root", MAIN_JOB),
    Exempt("proxy-snapshotter.md", "thinsim reproduce --subject proxy", LONGER, NIGHTLY),
    Exempt("snapshotter.md", "thinsim snapshotter", LONGER, NIGHTLY),
    Exempt("crashes.md", "thinsim snapshotter crashes", LONGER, NIGHTLY),
    Exempt("commands.md", "thinsim conformance check", LONGER, NIGHTLY),
    Exempt("commands.md", "thinsim conformance run", GUEST, NIGHTLY),
    Exempt("commands.md", "thinsim vm", GUEST, NIGHTLY),
    Exempt("containerd.md", "thinsim reproduce --subject containerd --repeatable", LIVE, SAME_COUNTS),
    Exempt("rigs.md", "thinsim reproduce --repeatable", LIVE, SAME_COUNTS),
    Exempt("rigs.md", "thinsim reproduce --rig vm", GUEST, NIGHTLY),
    Exempt("rigs.md", "thinsim run container-exit --variant discard_blocks=true --rig vm", GUEST, NIGHTLY),
    Exempt("rigs.md", "thinsim vm run", GUEST, NIGHTLY),
    Exempt("rigs.md", "thinsim conformance heights --on vm", GUEST, NIGHTLY),
    Exempt("rigs.md", "thinsim conformance heights", LONGER, NIGHTLY),
    Exempt("benchmarks.md", "make bench", CLONE, NIGHTLY),
    Exempt("benchmarks.md", ".venv/bin/python -m benchmarks", CLONE, NIGHTLY),
    Exempt("benchmarks.md", "thinsim vm run", GUEST, NIGHTLY),
    Exempt("commands.md", "RELEASE=", NEWER, NIGHTLY),
    Exempt("commands.md", "apt-get download", NEWER, NIGHTLY),
    Exempt("commands.md", "depmod", NEWER, NIGHTLY),
    Exempt("commands.md", "thinsim conformance record --kernel", NEWER, NIGHTLY),
)


def stage_of(page: str) -> PageStage:
    """Return what *page* needs, by default nothing."""
    return STAGES.get(page, PageStage())


def exempt(page: str, command: str) -> Exempt | None:
    """Return why *command* is not run with its page; None if it is."""
    return next((each for each in EXEMPT if each.page == page and command.startswith(each.words)), None)


def case_of(stage: PageStage, command: str) -> CommandCase:
    """Return what is special about *command*; the first of the stage's cases goes before others."""
    return next((case for case in stage.cases if command.startswith(case.words)), CommandCase(""))
