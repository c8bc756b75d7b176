"""`CONTENDERS` lists the directories that are measured: the host's, the store's, and those of its peers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.backing_contenders import mounted_store, server, two_directories
from benchmarks.libfuse_peers import libfuse_peer, missing_peer

PLAIN_DIRECTORY = "plain directory"


@dataclass(frozen=True, slots=True)
class OfferedDirectory:
    """An `OfferedDirectory` is a directory to measure."""

    served: Path
    """The path at which the contender serves it."""
    host: Path
    """The path of the same directory on the host file system."""


@dataclass(frozen=True, slots=True)
class NameContender:
    """A `NameContender` has a name, a check for its programs, and a function that serves a directory."""

    name: str
    lacks: Callable[[], str | None]
    offer: Callable[[Path], Iterator[OfferedDirectory]]

    @contextmanager
    def device(self, directory: Path, size: int) -> Iterator[OfferedDirectory]:
        """Serve a new directory in *directory*; *size* has no meaning here."""
        with contextmanager(self.offer)(directory) as offered:
            yield offered


def _plain(directory: Path) -> Iterator[OfferedDirectory]:
    files, _ = two_directories(directory)
    yield OfferedDirectory(files, files)


def _store(*options: str) -> Callable[[Path], Iterator[OfferedDirectory]]:
    def offer(directory: Path) -> Iterator[OfferedDirectory]:
        files, mountpoint = two_directories(directory)
        with mounted_store(directory, files, mountpoint, "--passthrough", "on", *options):
            yield OfferedDirectory(mountpoint, files)

    return offer


def _passthrough_ll(directory: Path) -> Iterator[OfferedDirectory]:
    files, mountpoint = two_directories(directory)
    command = [str(libfuse_peer("passthrough_ll")), "-f", "-o", f"source={files}", str(mountpoint)]
    with server(command, mountpoint):
        yield OfferedDirectory(mountpoint, files)


def _passthrough_hp(*options: str) -> Callable[[Path], Iterator[OfferedDirectory]]:
    def offer(directory: Path) -> Iterator[OfferedDirectory]:
        files, mountpoint = two_directories(directory)
        command = [str(libfuse_peer("passthrough_hp")), "--foreground", *options, str(files), str(mountpoint)]
        with server(command, mountpoint):
            yield OfferedDirectory(mountpoint, files)

    return offer


CONTENDERS = (
    NameContender(PLAIN_DIRECTORY, lambda: None, _plain),
    NameContender("fuse-backing", lambda: None, _store()),
    NameContender("fuse-backing, cache", lambda: None, _store("--cache", "3600")),
    NameContender("libfuse passthrough_ll", lambda: missing_peer("passthrough_ll"), _passthrough_ll),
    NameContender("libfuse passthrough_hp", lambda: missing_peer("passthrough_hp"), _passthrough_hp()),
    NameContender(
        "libfuse passthrough_hp, nocache",
        lambda: missing_peer("passthrough_hp"),
        _passthrough_hp("--nocache"),
    ),
)
