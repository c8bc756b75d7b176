"""Each rule's layers are unpacked or refused as containerd does, except for listed differences."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenario.containerd.containerd_answers import Blob, UnpackedTree, image, removed, tree_below
from tests.workload.image.layer_rules import ON_PURPOSE, RULES, condensed, recorded
from thinsim.workload.image import InvalidImageError, open_image, unpack_layer

pytestmark = pytest.mark.root("owners, devices and capabilities")

ANSWERS = recorded()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "root").mkdir()
    with removed(tmp_path / "root") as directory:
        yield directory


def answer(layers: tuple[Blob, ...], media_type: str, root: Path) -> UnpackedTree | str:
    """Unpack the layers from an image, as `thinsim reproduce --image` does; return the tree or the error."""
    path = root.parent / "image.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in image("rule", layers, media_type).items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    try:
        with open_image(path) as opened:
            for layer in opened.layers:
                with layer.open() as stream:
                    unpack_layer(stream, root)
    except InvalidImageError as error:
        return str(error)
    return tree_below(root, copied=len(layers) > 1)


@pytest.mark.parametrize("name", sorted(RULES.keys() - ON_PURPOSE.keys()))
def test_a_layer_is_unpacked_or_refused_as_containerd_does(root: Path, name: str) -> None:
    given = answer(*RULES[name], root)
    assert condensed(given) == ANSWERS[name], given


@pytest.mark.parametrize("name", ON_PURPOSE)
def test_a_listed_difference_from_containerd_still_exists(root: Path, name: str) -> None:
    given = answer(*RULES[name], root)
    assert condensed(given) != ANSWERS[name], given


def test_a_whiteout_keeps_files_of_its_own_layer(root: Path) -> None:
    tree = answer(*RULES["opaque directory after its content"], root)
    assert isinstance(tree, dict)
    assert sorted(tree) == ["d", "d/e", "d/e/new", "d/new"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("one block of zeros between entries", "block of zeros between entries"),
        (
            "zstd with a window of 2^30",
            "needs a window of 1073741824 bytes; thinsim and containerd allow up to 536870912",
        ),
        ("zstd with a dictionary", "needs the dictionary"),
        ("pax header of more than 1 MiB", "read up to 1048576"),
        ("sparse type S", "sparse file in GNU tar's own format"),
        ("type 7, a contiguous file", "contiguous file"),
        ("bzip2", "compressed with bzip2"),
        ("path of 5000 bytes", "too long"),
        ("name of 256 bytes", "too long"),
        ("device number of 2^32", "device numbers out of range"),
        ("gzip and zeros", "damaged gzip data: other data follows it"),
        ("sparse 0.1 with less data", "less data than its map lists"),
    ],
)
def test_a_refusal_names_the_fault(root: Path, name: str, text: str) -> None:
    given = answer(*RULES[name], root)
    assert isinstance(given, str)
    assert text in given
