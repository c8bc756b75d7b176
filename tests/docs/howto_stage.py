"""The stage of howto sets up what the commands of its pages need."""

from tests.docs.stage_kinds import LIVE, LONGER, NIGHTLY, SAME_COUNTS, SMALL, CommandCase, Exempt, PageStage

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
    "howto/measure-containerd.md": PageStage(
        cases=(
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
    "howto/gate-in-ci.md": PageStage(
        prepare="thinsim scenarios new my.toml",
        cases=(
            CommandCase("thinsim baseline save", more="--rig process --rounds 1"),
            CommandCase("thinsim ci", more="--rig process --rounds 1 --speed-tolerance 100"),
        ),
    ),
}

EXEMPT = (
    Exempt("howto/run-the-proxy-snapshotter.md", "thinsim reproduce --subject proxy", LONGER, NIGHTLY),
    Exempt(
        "howto/measure-containerd.md",
        "thinsim reproduce --subject containerd --repeatable",
        LIVE,
        SAME_COUNTS,
    ),
)
