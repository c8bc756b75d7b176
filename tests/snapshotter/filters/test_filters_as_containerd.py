"""The filter language is compared with containerd's own: the matches and the errors are the same."""

import os
import shutil
from pathlib import Path

import grpc
import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.snapshotter.filters.filter_texts import LABELS, texts
from tests.snapshotter.proxy.snapshots_client import SnapshotsClient, short_directory
from thinsim.machine.journal import Journal
from thinsim.scenario.containerd.builds import INSTALLED
from thinsim.scenario.containerd.plugins import SnapshotterPlugin
from thinsim.scenario.containerd.server import running_containerd
from thinsim.snapshotter.errors import InvalidArgumentError
from thinsim.snapshotter.filters.parsing import parse_filters
from thinsim.snapshotter.filters.snapshots import fields_of
from thinsim.snapshotter.interface import Info

MISSING = [name for name in INSTALLED if shutil.which(name) is None]
EXAMPLES = int(os.environ.get("THINSIM_EXAMPLES", "300"))
ROOT = {"containerd.io/gc.root": "now"}

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(
        bool(MISSING), reason=f"missing: {', '.join(MISSING)} (apt-get install containerd runc)"
    ),
]


async def test_containerd_and_thinsim_agree_on_every_filter(tmp_path: Path, journal: Journal) -> None:
    with short_directory() as sockets:
        plugin = SnapshotterPlugin("native", "")
        async with running_containerd(tmp_path / "containerd", sockets, plugin, journal):
            with SnapshotsClient(sockets / "containerd.sock", "native", namespace="filters") as containerd:
                await trio.to_thread.run_sync(compare, containerd)


def compare(containerd: SnapshotsClient) -> None:
    containerd.prepare("base", labels={**ROOT, **{name: value for name, value in LABELS.items() if name}})
    containerd.commit("a", "base", labels={**ROOT, "a": "1"})
    containerd.prepare("child", "a", labels={**ROOT, "a.b": "x y"})
    containerd.view("näme", "a", labels={**ROOT, "io.b/c": "ä"})
    containerd.prepare("näme-2", labels=ROOT)
    infos = containerd.walk()
    assert [info.name for info in infos] == ["a", "child", "näme", "näme-2"]

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(texts, max_size=2))
    @example(["name==a,"])
    @example(["labels.ns/key==value"])
    @example([r'labels."io.b\/c"'])
    @example(["name~=/[a/"])
    def agree(filters: list[str]) -> None:
        assert of_thinsim(filters, infos) == of_containerd(filters, containerd)

    agree()


def of_thinsim(filters: list[str], infos: list[Info]) -> list[str] | str:
    try:
        wanted = parse_filters(*filters)
    except InvalidArgumentError as error:
        return complaint(str(error))
    return [info.name for info in infos if wanted.matches(fields_of(info))]


def of_containerd(filters: list[str], containerd: SnapshotsClient) -> list[str] | str:
    try:
        return [info.name for info in containerd.walk(*filters)]
    except grpc.RpcError as error:
        # containerd's List does not map errors to codes (snapshotservice/service.go): the text has the class.
        text, _, error_class = error.details().rpartition(": ")
        return complaint(text) if error_class == "invalid argument" else f"{error}"


def complaint(text: str) -> str:
    """Return *text* in a comparable form: of a character beyond ASCII, containerd shows a single byte."""
    return text if text.isascii() else text.rpartition("]: ")[2].replace("\ufffd", "?")
