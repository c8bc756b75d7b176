"""The stage of howto sets up what the commands of its pages need."""

from tests.docs.stage_kinds import (
    GUEST,
    INSTALLATION,
    LIVE,
    LONGER,
    NEWER,
    NIGHTLY,
    SAME_COUNTS,
    SMALL,
    TERMINATED,
    CommandCase,
    Exempt,
    PageStage,
)

_APP = "cp $IMAGE app.tar\n"
_POOL = "thinsim pool create demo --dir demo --data-size 1G --metadata-size 64M"
_CONTAINERD = """cat > config.toml <<END
version = 2
root = "$PWD/containerd/root"
state = "$PWD/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$THINSIM_RUNTIME_DIR/containerd.sock"
[ttrpc]
address = "$THINSIM_RUNTIME_DIR/containerd.ttrpc"
$(sed -n "s:/var/lib/containerd/devmapper:$PWD/snapshots:; /plugins/,/discard_blocks/p" stanza)
END
export CONTAINERD_ADDRESS=$THINSIM_RUNTIME_DIR/containerd.sock
cp $IMAGE image.tar
containerd --config config.toml > containerd.log 2>&1 &
SERVICE=$!
until ctr version > /dev/null 2>&1; do kill -0 $SERVICE; sleep 0.1; done"""
_CONFIG = "sed 's:/var/lib/containerd/devmapper:'$PWD/snapshots: stanza > config.toml"
_COLLECT = 'ctr leases delete --sync "$(ctr leases create)"'
_BENCH = "thinsim bench --contender process/core/off --contender process/core/on --rounds 1 --warm-up 0"

STAGES = {
    "howto/gate-in-ci.md": PageStage(
        prepare="thinsim scenarios new my.toml",
        cases=(
            CommandCase("thinsim baseline save", more="--rig process --rounds 1"),
            CommandCase(
                "thinsim ci my.toml",
                more="--rig process --rounds 1",
                before="sed -i 's/discard_blocks = true/discard_blocks = false/' my.toml",
                status=3,
            ),
            CommandCase("thinsim ci", more="--rig process --rounds 1 --speed-tolerance 100"),
        ),
    ),
    "howto/share-a-report.md": PageStage(cases=(CommandCase("thinsim run", more="--rig process"),)),
    "howto/compare-speed.md": PageStage(
        prepare=f"{_BENCH} --json before.json\n{_BENCH} --json after.json",
        cases=(
            CommandCase("thinsim bench --contender process", more="--rounds 1 --warm-up 0"),
            CommandCase("thinsim bench --contender process/core/on --command", more="--rounds 1 --warm-up 0"),
        ),
    ),
    "howto/measure-containerd.md": PageStage(
        cases=(
            CommandCase(
                "thinsim reproduce --subject containerd",
                more=SMALL,
                before=_APP + "cp app.tar image.tar",
            ),
            CommandCase("thinsim pool create", after="cp ../records/1.out stanza"),
            CommandCase("ctr images import", before=_CONTAINERD),
            CommandCase("ctr containers rm", after=_COLLECT),
            CommandCase("ctr images rm", after=_COLLECT),
        ),
        finish="kill $SERVICE; wait $SERVICE\nthinsim pool remove demo; thinsim dm stop",
    ),
    "howto/run-the-proxy-snapshotter.md": PageStage(
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
    "howto/run-in-a-guest.md": PageStage(
        cases=(
            CommandCase("thinsim conformance record", more="--only names --to recorded.jsonl.xz"),
            CommandCase(
                "thinsim vm run --share . -- thinsim ci",
                fill={"FILE": "baseline.json"},
                more="--rounds 1 --leak-tolerance 1M",
                before="thinsim baseline save container-exit --rig emulated --rounds 1 -o baseline.json",
            ),
        ),
    ),
    "howto/compare-with-the-kernel.md": PageStage(
        cases=(
            CommandCase(
                "thinsim conformance run", instead={"1000-1009": "1000-1000"}, more="--operations 20"
            ),
        ),
    ),
    "howto/fuse-backing-under-anything.md": PageStage(
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
            CommandCase(
                "fuse-backing stats --watch",
                service=True,
                status=TERMINATED,
                after="until grep -q ' events 0 punched 0 B' ../records/*.out; "
                "do kill -0 $SERVICE; sleep 0.1; done",
            ),
        ),
        finish="fuse-backing unmount follow",
    ),
    "howto/import-an-image.md": PageStage(
        prepare=_APP,
        cases=(CommandCase("thinsim reproduce", more="--container-mb 4 --setting off"),),
    ),
    "howto/free-a-full-disk.md": PageStage(
        cases=(
            CommandCase("thinsim audit demo", status=3),
            CommandCase(
                "thinsim reclaim --offline",
                fill={"DATA": "data", "METADATA": "metadata"},
                before="dmsetup status demo > committed\n"
                "cp --sparse=always /var/tmp/demo/files/metadata metadata\ntruncate -s 1G data",
            ),
        ),
    ),
    "howto/find-where-a-discard-dies.md": PageStage(
        # The disk of the machine decides whether discards live to the lowest height.
        cases=(
            CommandCase("thinsim heights fs", more="|| test $? = 3"),
            CommandCase("thinsim heights --probe fs", more="|| test $? = 3"),
            CommandCase("thinsim heights --probe --size", status=3),
        ),
    ),
    "howto/clean-up-a-machine.md": PageStage(
        prepare=f"{_POOL}\ntruncate -s 1M any",
        fill={"NAME": "demo", "FILE": "any"},
        finish="thinsim dm stop",
    ),
    "howto/check-pool-metadata.md": PageStage(
        prepare="thinsim pool create demo --dir /var/tmp/demo --data-size 1G --metadata-size 64M\n"
        'eval "$(thinsim env)"\n'
        'dmsetup message demo 0 "create_thin 1"',
        fill={"FILE": "../demo/files/metadata"},
        finish="thinsim pool remove demo; thinsim dm stop",
    ),
}

EXEMPT = (
    Exempt("howto/install.md", "sudo apt-get install", "installs packages of the system", INSTALLATION),
    Exempt("howto/install.md", "python3 -m venv", "installs thinsim in a clone", INSTALLATION),
    Exempt("howto/install.md", ".venv/bin/pip install", "installs thinsim in a clone", INSTALLATION),
    Exempt("howto/compare-speed.md", "thinsim bench --contender emulated", LONGER, NIGHTLY),
    Exempt("howto/run-the-proxy-snapshotter.md", "thinsim reproduce --subject proxy", LONGER, NIGHTLY),
    Exempt(
        "howto/measure-containerd.md",
        "thinsim reproduce --subject containerd --repeatable",
        LIVE,
        SAME_COUNTS,
    ),
    Exempt(
        "howto/measure-containerd.md",
        "thinsim reproduce --subject containerd --setting on",
        LONGER,
        NIGHTLY,
    ),
    Exempt(
        "howto/measure-containerd.md",
        "thinsim bench --contender emulated/containerd/on",
        "needs two builds",
        "tests/scenario/containerd/test_containerd_versions.py",
    ),
    Exempt("howto/run-in-a-guest.md", "RELEASE=", NEWER, NIGHTLY),
    Exempt("howto/run-in-a-guest.md", "apt-get download", NEWER, NIGHTLY),
    Exempt("howto/run-in-a-guest.md", "depmod", NEWER, NIGHTLY),
    Exempt("howto/run-in-a-guest.md", "thinsim vm run --kernel", NEWER, NIGHTLY),
    Exempt("howto/run-in-a-guest.md", "thinsim conformance record --kernel", NEWER, NIGHTLY),
    Exempt("howto/run-in-a-guest.md", "thinsim vm", GUEST, NIGHTLY),
    Exempt("howto/run-in-a-guest.md", "thinsim run container-exit", GUEST, NIGHTLY),
    Exempt("howto/compare-with-the-kernel.md", "thinsim conformance check", LONGER, NIGHTLY),
    Exempt("howto/compare-with-the-kernel.md", "thinsim conformance run", GUEST, NIGHTLY),
)
