"""Layers applied to a real directory leave the same tree as a model in a dictionary."""

import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from thinsim.workload.image import InvalidImageError, unpack_layer

EntryNames = tuple[str, ...]
ModelNode = tuple[str, int, object]
LayerOperation = tuple[str, EntryNames, int, object]
ModelLayer = list[LayerOperation]

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
OPERATIONS = st.one_of(
    st.tuples(st.just("file"), PATHS, st.sampled_from([0o644, 0o600, 0o755]), st.binary(max_size=40)),
    st.tuples(st.just("directory"), PATHS, st.sampled_from([0o755, 0o700, 0o750]), st.none()),
    st.tuples(
        st.just("symlink"), PATHS, st.just(0o777), st.sampled_from(["a", "/b", "../c", "../../../a/b", "c/d"])
    ),
    st.tuples(st.just("whiteout"), PATHS, st.just(0), st.none()),
    st.tuples(st.just("opaque"), PATHS, st.just(0), st.none()),
    st.tuples(st.just("link"), PATHS, st.just(0o644), PATHS),
)
LAYERS = st.lists(st.lists(OPERATIONS, max_size=8), min_size=3, max_size=3)


class MalformedError(Exception):
    """The layer can't be applied, according to the model."""


class TreeModel:
    """A `TreeModel` is a tree as a dictionary from resolved names to (kind, mode, content)."""

    def __init__(self) -> None:
        self.nodes: dict[EntryNames, ModelNode] = {}
        self.added: set[EntryNames] = set()

    def resolve(self, names: EntryNames) -> EntryNames:
        at: EntryNames = ()
        pending = list(names)
        links = 0
        while pending:
            name, *pending = pending
            if name == "..":
                at = at[:-1]
                continue
            node = self.nodes.setdefault((*at, name), ("directory", 0o755, None))
            if node[0] == "file":
                raise MalformedError
            if node[0] == "symlink":
                links += 1
                if links > 300:
                    raise MalformedError
                target = str(node[2])
                at = () if target.startswith("/") else at
                pending = [part for part in target.split("/") if part] + pending
            else:
                at = (*at, name)
        return at

    def exists(self, names: EntryNames) -> bool:
        trial = TreeModel()
        trial.nodes = dict(self.nodes)
        before = set(trial.nodes)
        resolved = trial.resolve(names[:-1])
        return set(trial.nodes) == before and (*resolved, names[-1]) in before

    def below(self, names: EntryNames, among: set[EntryNames]) -> set[EntryNames]:
        return {each for each in among if each[: len(names)] == names}

    def remove(self, names: EntryNames) -> None:
        for each in self.below(names, set(self.nodes)):
            del self.nodes[each]
        self.added -= self.below(names, self.added)

    def uncover(self, names: EntryNames) -> None:
        kept = {each[:length] for each in self.added for length in range(1, len(each) + 1)}
        for each in self.below(names, set(self.nodes)) - kept:
            del self.nodes[each]

    def apply(self, layer: ModelLayer) -> ModelLayer:
        """Apply the valid operations of *layer* and return them."""
        self.added = set()
        applied = []
        for operation in layer:
            before = dict(self.nodes), set(self.added)
            try:
                self.operate(*operation)
            except MalformedError:
                self.nodes, self.added = before
            else:
                applied.append(operation)
        return applied

    def operate(self, kind: str, path: EntryNames, mode: int, content: object) -> None:
        if kind == "opaque":
            directory = self.resolve(path)
            own = self.nodes[directory] if directory else None
            self.uncover(directory)
            if own is not None:
                self.nodes[directory] = own
            return
        names = (*self.resolve(path[:-1]), path[-1])
        if kind == "whiteout":
            self.uncover(names)
            return
        old = self.nodes.get(names)
        if not (kind == "directory" and old is not None and old[0] == "directory"):
            self.remove(names)
        if kind == "link":
            assert isinstance(content, tuple)
            if not self.exists(content):
                raise MalformedError
            target = self.nodes[(*self.resolve(content[:-1]), content[-1])]
            if target[0] == "directory":
                raise MalformedError
            if target[0] == "file":  # it is one inode, so every name of it gets the header's mode
                for each, node in list(self.nodes.items()):
                    if node[2] is target[2]:
                        self.nodes[each] = ("file", mode, target[2])
                target = ("file", mode, target[2])
            self.nodes[names] = target
        else:
            self.nodes[names] = (kind, mode, Content(content) if kind == "file" else content)
        self.added.add(names)

    def snapshot(self) -> dict[str, ModelNode]:
        return {
            "/".join(names): (kind, mode, content.data if isinstance(content, Content) else content)
            for names, (kind, mode, content) in self.nodes.items()
        }


class Content:
    """A `Content` is bytes with an identity, like an inode."""

    def __init__(self, data: object) -> None:
        self.data = data


def tar_of(layer: ModelLayer) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for kind, path, mode, content in layer:
            info = tarfile.TarInfo("/".join(path))
            info.mode, info.mtime, info.uid, info.gid = mode, 1000, os.getuid(), os.getgid()
            data = b""
            if kind == "file":
                assert isinstance(content, bytes)
                data = content
            elif kind == "directory":
                info.type = tarfile.DIRTYPE
            elif kind == "symlink":
                info.type, info.linkname = tarfile.SYMTYPE, str(content)
            elif kind == "link":
                assert isinstance(content, tuple)
                info.type, info.linkname = tarfile.LNKTYPE, "/".join(content)
            elif kind == "whiteout":
                info.name = "/".join((*path[:-1], f".wh.{path[-1]}"))
            else:
                info.name = f"{info.name}/.wh..wh..opq"
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    stream.seek(0)
    return stream


def tree_below(root: Path) -> dict[str, ModelNode]:
    found: dict[str, ModelNode] = {}
    for directory, subdirectories, names in os.walk(root):
        for name in subdirectories + names:
            path = Path(directory, name)
            mode = path.lstat().st_mode & 0o7777
            key = str(path.relative_to(root))
            if path.is_symlink():
                found[key] = ("symlink", mode, str(path.readlink()))
            elif path.is_dir():
                found[key] = ("directory", mode, None)
            else:
                found[key] = ("file", mode, path.read_bytes())
    return found


@settings(max_examples=300, deadline=None)
@given(LAYERS)
def test_three_layers_leave_the_tree_of_the_model(layers: list[ModelLayer]) -> None:
    model = TreeModel()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for layer in layers:
            applied = model.apply(layer)
            unpack_layer(tar_of(applied), root)
            assert tree_below(root) == model.snapshot()


@settings(max_examples=100, deadline=None)
@given(st.lists(OPERATIONS, max_size=8))
def test_a_layer_that_the_model_refuses_is_an_invalid_image(layer: ModelLayer) -> None:
    assume(TreeModel().apply(layer) != layer)
    with tempfile.TemporaryDirectory() as directory, pytest.raises(InvalidImageError):
        unpack_layer(tar_of(layer), Path(directory))
