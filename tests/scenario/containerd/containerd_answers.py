"""`Answers` imports archives into a containerd and returns the unpacked tree or the refusal."""

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from thinsim.errors import ProgramFailedError
from thinsim.machine.journal import Journal
from thinsim.scenario.containerd.plugins import SnapshotterPlugin
from thinsim.scenario.containerd.server import Containerd, running_containerd
from thinsim.workload.image.platforms import this_platform
from thinsim.workload.image.tree import remove

UnpackedTree = dict[str, str]
Blob = tuple[bytes, str]
"""A layer as it is stored, with the digest of its tar."""

_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_NOW = 1_700_000_000 * 10**9
"""Later times are those of the test run."""


def digest(data: bytes) -> str:
    """Return the digest as OCI writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def image(name: str, layers: Sequence[Blob], media_type: str = _LAYER) -> dict[str, bytes]:
    """Return the files of an OCI layout with an image of these layers."""
    files: dict[str, bytes] = {}

    def put(data: bytes | Any, kind: str) -> dict[str, Any]:
        blob = data if isinstance(data, bytes) else json.dumps(data).encode()
        files[f"blobs/sha256/{digest(blob)[7:]}"] = blob
        return {"mediaType": kind, "digest": digest(blob), "size": len(blob)}

    system, _, architecture = this_platform().partition("/")
    config = {
        "architecture": architecture,
        "os": system,
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [put(blob, media_type) for blob, _ in layers],
    }
    descriptor = put(manifest, "application/vnd.oci.image.manifest.v1+json")
    descriptor["annotations"] = {"io.containerd.image.name": f"localhost/{name}:latest"}
    descriptor["platform"] = {"os": system, "architecture": architecture}
    files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [descriptor]}).encode()
    return files


def chain_id(diff_ids: Sequence[str]) -> str:
    """Return the name that a snapshot of these layers has (OCI image-spec, config.md)."""
    chain = diff_ids[0]
    for diff_id in diff_ids[1:]:
        chain = digest(f"{chain} {diff_id}".encode())
    return chain


def tree_below(root: Path, *, copied: bool = False) -> UnpackedTree:
    """Describe the tree below *root*: kind, mode, owner, times, content, xattrs.

    Hard links have the name of the first. With *copied*, leave out the times that the native snapshotter
    loses when it copies a lower layer.
    """
    tree: UnpackedTree = {}
    names: dict[tuple[int, int], str] = {}
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    pending: list[tuple[str, ...]] = [()]
    try:
        while pending:
            parts = pending.pop()
            at = _opened(fd, parts)
            try:
                for name in sorted(os.listdir(at)):  # noqa: PTH208 -- open, not a path
                    path = "/".join((*parts, name))
                    about = os.lstat(name, dir_fd=at)
                    first = names.setdefault((about.st_dev, about.st_ino), path)
                    tree[path] = f"= {first}" if first != path else _described(at, name, about, copied)
                    if stat.S_ISDIR(about.st_mode):
                        pending.append((*parts, name))
            finally:
                os.close(at)
    finally:
        os.close(fd)
    return dict(sorted(tree.items()))


def _opened(root: int, parts: tuple[str, ...]) -> int:
    at = os.dup(root)
    for start in range(0, len(parts), 100):
        below = os.open("/".join(parts[start : start + 100]), os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    return at


def _described(fd: int, name: str, about: os.stat_result, copied: bool) -> str:
    words = [
        stat.filemode(about.st_mode),
        f"{stat.S_IMODE(about.st_mode):04o}",
        f"{about.st_uid}:{about.st_gid}",
    ]
    if not (copied and stat.S_ISDIR(about.st_mode)):
        words.append(_time(about.st_mtime_ns))
    if stat.S_ISREG(about.st_mode) and not copied and about.st_atime_ns > about.st_mtime_ns:
        words.append("read " + _time(about.st_atime_ns))
    path = f"/proc/self/fd/{fd}/{name}"
    if stat.S_ISREG(about.st_mode):
        content = Path(path).read_bytes()
        text = repr(content) if len(content) < 40 else f"sha256 {hashlib.sha256(content).hexdigest()[:16]}"
        words.append(f"{len(content)} {text}")
    elif stat.S_ISLNK(about.st_mode):
        words.append("-> " + os.readlink(name, dir_fd=fd))
    elif not stat.S_ISDIR(about.st_mode):
        words.append(f"{os.major(about.st_rdev)},{os.minor(about.st_rdev)}")
    for key in sorted(os.listxattr(path, follow_symlinks=False)):
        words.append(f"{key}={os.getxattr(path, key, follow_symlinks=False)!r}")
    return " ".join(words)


def _time(nanoseconds: int) -> str:
    return "now" if nanoseconds > _NOW else f"{nanoseconds / 10**9:.9f}".rstrip("0").rstrip(".")


class Answers:
    """`Answers` are those of one containerd, with its native snapshotter in *directory*, about images."""

    def __init__(self, containerd: Containerd, directory: Path) -> None:
        self._containerd = containerd
        self._directory = directory
        self._snapshots = directory / "containerd/root/io.containerd.snapshotter.v1.native/snapshots"
        self._known: dict[str, Path] = {}
        self._seen: set[Path] = set()

    async def about(self, layers: Sequence[Blob], media_type: str = _LAYER) -> UnpackedTree | str:
        """Return the tree that *layers* unpack to, or containerd's words of refusal."""
        chain = chain_id([diff_id for _, diff_id in layers])
        if chain not in self._known:
            refusal = await self.of_files(image(f"rule-{chain[7:19]}", layers, media_type))
            if refusal is not None:
                return refusal
            # a snapshot is a directory with a number, the highest is the last
            fresh = self._taken() - self._seen
            self._seen |= fresh
            self._known[chain] = max(fresh, key=lambda path: int(path.name))
        return tree_below(self._known[chain], copied=len(layers) > 1)

    async def of_image(self, path: Path) -> UnpackedTree | str | None:
        """Import the archive *path*; return the tree of the new snapshot, or None if there is none."""
        before = self._taken()
        refusal = await self.of_archive(path)
        fresh = self._taken() - before
        if refusal is not None:
            return refusal
        return tree_below(max(fresh, key=lambda path: int(path.name))) if fresh else None

    def _taken(self) -> set[Path]:
        if not self._snapshots.exists():
            return set()
        return {path for path in self._snapshots.iterdir() if path.name.isdigit()}

    async def of_files(self, files: Mapping[str, bytes], name: str = "image.tar") -> str | None:
        """Import the archive of *files*; return containerd's words if it refuses."""
        path = self._directory / name
        with tarfile.open(path, "w") as tar:
            for member, data in files.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return await self.of_archive(path)

    async def of_archive(self, path: Path) -> str | None:
        """Import the archive *path*; return containerd's words if it refuses."""
        try:
            await self._containerd.ctr("images", "import", "--snapshotter", "native", path)
        except ProgramFailedError as error:
            return str(error)
        return None


@asynccontextmanager
async def answering(directory: Path, sockets: Path, path: str = "") -> AsyncIterator[Answers]:
    """Run the containerd of this machine, or the one in the directory *path*, within *directory*."""
    environment = {"PATH": f"{path}:{os.environ['PATH']}"} if path else {}
    journal = Journal.create()
    async with running_containerd(
        directory / "containerd", sockets, SnapshotterPlugin("native", "", environment), journal
    ) as containerd:
        yield Answers(containerd, directory)


@contextmanager
def removed(directory: Path) -> Iterator[Path]:
    """Remove *directory* at the end: trees too deep for `shutil.rmtree`, and for pytest, may be in it."""
    try:
        yield directory
    finally:
        above = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            remove(above, directory.name)
        finally:
            os.close(above)
