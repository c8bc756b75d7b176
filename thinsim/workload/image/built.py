"""`build_image` builds an image from real files of this machine, without a registry or a download.

Its four layers show everything that layers can do. The base has 60 % of the bytes, the libraries have 30 %.
The application replaces and deletes files of lower layers, hides a directory, and has links. The last layer
is a small configuration.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from thinsim.errors import EnvironmentLacksError
from thinsim.units import format_size
from thinsim.workload.image.layerwriter import ArchiveWriter, Descriptor, LayerWriter
from thinsim.workload.image.machinefiles import LARGEST_FILE, MachineFile, default_sources, read_files
from thinsim.workload.image.platforms import this_platform

NAME = "localhost/thinsim/built:latest"
_HIDDEN = "var/cache/thinsim"
_REPLACED = 8
_DELETED = 8


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A `BuiltImage` describes the archive at *path*.

    *digest* is the digest of the manifest, *layers* are the layers' digests from the lowest up, and *size*
    counts the bytes of file content in all layers.
    """

    path: Path
    digest: str
    layers: tuple[str, ...]
    size: int


def build_image(
    target: Path,
    *,
    size: int = 100 << 20,
    progress: Callable[[int], None] | None = None,
    sources: Sequence[Path] | None = None,
) -> BuiltImage:
    """Write an OCI archive to *target*, with *size* bytes of file content or a little more.

    At least *size* bytes also remain once all layers are applied. The same files below the directories
    *sources* (default: `default_sources`) and the same size give the same digest. *target* appears complete
    or not at all. *progress* is called with the bytes of content written so far; an exception from it ends
    the building. Raises EnvironmentLacksError if the sources have too few bytes.
    """
    directories = default_sources() if sources is None else tuple(sources)
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as file:
            image = _Building(ArchiveWriter(file), directories, size, progress).build(target)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return image


class _Building:
    """A `_Building` is an image under construction."""

    def __init__(
        self,
        archive: ArchiveWriter,
        sources: Sequence[Path],
        size: int,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._archive = archive
        self._sources = sources
        self._size = size
        self._progress = progress
        self._files = read_files(sources, min(LARGEST_FILE, max(size // 16, 1 << 16)))
        self._lower: dict[str, int] = {}
        self._written = 0

    def build(self, target: Path) -> BuiltImage:
        layers: list[Descriptor] = []
        with self._archive.layer(layers) as base:
            self._fill(base, self._size * 6 // 10)
        with self._archive.layer(layers) as libraries:
            hidden = self._hidden_files(libraries)
            self._fill(libraries, self._size * 3 // 10)
        with self._archive.layer(layers) as application:
            gone = hidden + self._change_lower_layers(application)
            self._links(application)
            self._fill(application, self._size - self._written + gone, record=False)
        with self._archive.layer(layers) as configuration:
            self._configure(configuration)
        return self._finish(target, layers)

    def _fill(self, layer: LayerWriter, size: int, *, record: bool = True) -> None:
        """Add files from the sources until *size* bytes are added."""
        end = self._written + size
        while self._written < end:
            file = self._next_file()
            if file.content is None:
                layer.symlink(file.path, file.link_target)
                continue
            self._add(layer, file.path, file.content, file.mode)
            if record and file.content:
                self._lower[file.path] = len(file.content)

    def _next_file(self) -> MachineFile:
        file = next(self._files, None)
        if file is None:
            where = ", ".join(map(str, self._sources)) or "no directories"
            raise EnvironmentLacksError(
                f"this machine has too few readable files for an image of {format_size(self._size)}: "
                f"only {format_size(self._written)} in {where}; build a smaller image"
            )
        return file

    def _add(self, layer: LayerWriter, path: str, content: bytes, mode: int = 0o644) -> None:
        layer.file(path, content, mode)
        self._written += len(content)
        if self._progress is not None:
            self._progress(self._written)

    def _hidden_files(self, layer: LayerWriter) -> int:
        """Add a directory for the layer above to hide; return the bytes in it."""
        before = self._written
        for name in ("index", "objects/first", "objects/second"):
            self._add(layer, f"{_HIDDEN}/{name}", f"cached {name}\n".encode() * 256)
        return self._written - before

    def _change_lower_layers(self, layer: LayerWriter) -> int:
        """Replace and delete some files of lower layers, hide a directory; return the lost bytes."""
        small = [path for path, size in sorted(self._lower.items()) if size <= 1 << 20]
        chosen = list(_spread(small, _REPLACED + _DELETED))
        replaced, deleted = chosen[::2], chosen[1::2]
        for path in replaced:
            self._add(layer, path, f"replaced: {path}\n".encode() * (self._lower[path] // 64 + 1))
        for path in deleted:
            layer.white_out(path)
        layer.make_opaque(_HIDDEN)
        self._add(layer, f"{_HIDDEN}/fresh", b"the only file left here\n")
        return sum(self._lower[path] for path in chosen)

    def _links(self, layer: LayerWriter) -> None:
        self._add(layer, "opt/application/bin/start", b"#!/bin/sh\nexec sleep infinity\n", 0o755)
        layer.hard_link("opt/application/bin/restart", "opt/application/bin/start")
        layer.symlink("opt/application/current", "bin")
        layer.symlink("usr/local/bin/application", "/opt/application/bin/start")

    def _configure(self, layer: LayerWriter) -> None:
        self._add(layer, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        self._add(layer, "etc/hostname", b"thinsim\n")
        self._add(layer, "opt/application/settings.json", b'{"workers": 4}\n')

    def _finish(self, target: Path, layers: list[Descriptor]) -> BuiltImage:
        system, _, architecture = this_platform().partition("/")
        config = self._archive.document(
            "application/vnd.oci.image.config.v1+json",
            {
                "created": "1970-01-01T00:00:00Z",
                "architecture": architecture,
                "os": system,
                "config": {"Cmd": ["/opt/application/bin/start"]},
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
            },
        )
        media_type = "application/vnd.oci.image.manifest.v1+json"
        manifest = self._archive.document(
            media_type,
            {
                "schemaVersion": 2,
                "mediaType": media_type,
                "config": config.document(),
                "layers": [layer.document() for layer in layers],
            },
        )
        entry = manifest.document() | {
            "platform": {"os": system, "architecture": architecture},
            "annotations": {
                "io.containerd.image.name": NAME,  # ctr images import reads the full name here
                "org.opencontainers.image.ref.name": NAME.rpartition(":")[2],
            },
        }
        self._archive.finish({"schemaVersion": 2, "manifests": [entry]})
        return BuiltImage(target, manifest.digest, tuple(layer.digest for layer in layers), self._written)


def _spread(items: Sequence[str], count: int) -> Iterator[str]:
    """Yield up to *count* of *items*, evenly spread."""
    for number in range(min(count, len(items))):
        yield items[number * len(items) // min(count, len(items))]
