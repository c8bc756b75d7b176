"""The stage of evidence sets up what the commands of its pages need."""

from tests.docs.stage_kinds import CLONE, GUEST, LONGER, NIGHTLY, CommandCase, Exempt, PageStage

_MEASURES = "takes minutes, and changes figures of the clone"

STAGES = {
    "evidence/benchmarks.md": PageStage(
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
    "evidence/data-plane.md": PageStage(
        cases=(
            CommandCase("make", instead={"make": "make -C $CLONE"}),
            CommandCase(".venv/bin/python", instead={".venv": "env -C $CLONE .venv"}),
        ),
    ),
    "evidence/reclaim.md": PageStage(
        cases=(CommandCase(".venv/bin/python", instead={".venv": "env -C $CLONE .venv"}),),
    ),
    "evidence/hosts.md": PageStage(
        cases=(
            CommandCase("make", instead={"make": "make -C $CLONE"}),
            CommandCase(".venv/bin/python", instead={".venv": "env -C $CLONE .venv"}),
        ),
    ),
    "evidence/containerd-suspend.md": PageStage(
        cases=(CommandCase("dmsetup suspend disk", status=1),),
        finish="umount mnt\nthinsim env dmsetup remove disk\nthinsim pool remove demo; thinsim dm stop",
    ),
    "evidence/crashes.md": PageStage(
        cases=(CommandCase("thinsim snapshotter crashes", more="--operation commit --profile fixed"),),
    ),
}

EXEMPT = (
    Exempt(
        "evidence/containerd-committed.md",
        "thinsim reproduce --subject containerd --setting on",
        "needs a patched build",
        "tests/scenario/containerd/test_containerd_patches.py",
    ),
    Exempt("evidence/crashes.md", "thinsim snapshotter crashes", LONGER, NIGHTLY),
    Exempt("evidence/benchmarks.md", "make benchmarks-page", _MEASURES, "tests/docs/test_evidence_pages.py"),
    Exempt("evidence/benchmarks.md", "make bench-", CLONE, NIGHTLY),
    Exempt("evidence/benchmarks.md", ".venv/bin/python -m benchmarks", CLONE, NIGHTLY),
    Exempt("evidence/benchmarks.md", "thinsim vm run", GUEST, NIGHTLY),
    Exempt("evidence/data-plane.md", "make data-plane-page", _MEASURES, "tests/docs/test_evidence_pages.py"),
    Exempt("evidence/data-plane.md", "make bench-", CLONE, NIGHTLY),
    Exempt("evidence/data-plane.md", ".venv/bin/python -m benchmarks.thin_guest", GUEST, NIGHTLY),
    Exempt("evidence/data-plane.md", ".venv/bin/python -m benchmarks", CLONE, NIGHTLY),
    Exempt("evidence/hosts.md", "make hosts-page", _MEASURES, "tests/docs/test_evidence_pages.py"),
    Exempt("evidence/reclaim.md", "make bench-reclaim", _MEASURES, "tests/docs/test_evidence_pages.py"),
    Exempt("evidence/reclaim.md", ".venv/bin/python -m benchmarks", CLONE, NIGHTLY),
)
