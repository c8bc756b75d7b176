"""`FORM_RULES` and `TYPE_RULES` cover the compression of a layer's blob and its media types."""

import bz2
import gzip
import lzma
from collections.abc import Callable

import zstandard

from tests.scenario.containerd.containerd_answers import Blob, digest
from tests.workload.image.tar_building import archive, file

GZIP_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_TYPE = "application/vnd.oci.image.layer.v1.tar"
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
zstd = zstandard.ZstdCompressor().compress


def _windowed(tar: bytes, log: int) -> bytes:
    """Return *tar* in a frame that asks its reader for a window of 2^log bytes."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=log)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(tar) + compressor.flush()  # the size is unknown, so the window stays 2^log


def _named(tar: bytes, name: bytes, extra: bytes = b"", checksum: bytes | None = None) -> bytes:
    """Return *tar* in a gzip member whose header has optional fields."""
    plain = gzip.compress(tar, mtime=0)
    flags = 8 | (4 if extra else 0) | (2 if checksum is not None else 0)
    header = plain[:3] + bytes([flags]) + plain[4:10]
    header += len(extra).to_bytes(2, "little") + extra if extra else b""
    return header + name + b"\0" + (checksum or b"") + plain[10:]


def _changed(data: bytes, offset: int) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= 1
    return bytes(changed)


def _with_dictionary(tar: bytes) -> bytes:
    samples = [str(number).encode() * 50 for number in range(500)]
    dictionary = zstandard.train_dictionary(1000, samples)
    return zstandard.ZstdCompressor(dict_data=dictionary).compress(tar)


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip of two members": lambda tar: gzip.compress(tar[:700]) + gzip.compress(tar[700:]),
    "gzip of 3000 members": lambda tar: b"".join(
        gzip.compress(tar[at : at + 2]) for at in range(0, len(tar), 2)
    ),
    "gzip with an empty member": lambda tar: gzip.compress(b"") + gzip.compress(tar),
    "gzip and zeros": lambda tar: gzip.compress(tar) + bytes(100),
    "gzip and rubbish": lambda tar: gzip.compress(tar) + b"rubbish that is longer than a header",
    "gzip and two bytes": lambda tar: gzip.compress(tar) + b"\x1f\x8b",
    "gzip with a wrong checksum": lambda tar: _changed(gzip.compress(tar), -8),
    "gzip with a wrong size": lambda tar: _changed(gzip.compress(tar), -4),
    "gzip without its size": lambda tar: gzip.compress(tar)[:-4],
    "gzip without its end": lambda tar: gzip.compress(tar)[:-40],
    "gzip with flags nobody knows": lambda tar: gzip.compress(tar)[:3] + b"\xe0" + gzip.compress(tar)[4:],
    "gzip with a name": lambda tar: _named(tar, b"layer.tar", b"extra"),
    "gzip with a name of 511 bytes": lambda tar: _named(tar, b"n" * 511),
    "gzip with a name of 512 bytes": lambda tar: _named(tar, b"n" * 512),
    "gzip with a wrong header checksum": lambda tar: _named(tar, b"n", checksum=b"\0\0"),
    "gzip of gzip": lambda tar: gzip.compress(gzip.compress(tar)),
    **{
        f"zstd with a window of 2^{log}": lambda tar, log=log: _windowed(tar, log)  # type: ignore[misc]
        for log in (10, 27, 28, 29, 30)
    },
    "zstd of two frames": lambda tar: zstd(tar[:700]) + zstd(tar[700:]),
    "zstd behind a skippable frame": lambda tar: SKIPPABLE + zstd(tar),
    "zstd before a skippable frame": lambda tar: zstd(tar) + SKIPPABLE,
    "zstd before a skippable frame cut short": lambda tar: zstd(tar) + SKIPPABLE[:-2],
    "zstd and rubbish": lambda tar: zstd(tar) + b"rubbish!",
    "zstd and two bytes": lambda tar: zstd(tar) + b"\x28\xb5",
    "zstd and zeros": lambda tar: zstd(tar) + bytes(64),
    "zstd without its end": lambda tar: zstd(tar)[:-3],
    "zstd with a wrong checksum": lambda tar: _changed(
        zstandard.ZstdCompressor(write_checksum=True).compress(tar), -1
    ),
    "zstd without a size": lambda tar: zstandard.ZstdCompressor(write_content_size=False).compress(tar),
    "zstd with a dictionary": _with_dictionary,
    "zstd of an old version": lambda tar: b"\x27" + zstd(tar)[1:],
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "another tar than the configuration says": lambda tar: gzip.compress(tar + bytes(512)),
}


def _tar(number: int) -> bytes:
    return archive([file(b"f%d" % number, b"content of the file\n" * 150)])


def _blob(number: int, compress: Callable[[bytes], bytes]) -> Blob:
    tar = _tar(number)
    return compress(tar), digest(tar)


FORM_RULES: dict[str, tuple[tuple[Blob, ...], str]] = {
    name: ((_blob(number, compress),), GZIP_TYPE) for number, (name, compress) in enumerate(FORMS.items())
} | {
    "a skippable frame and no more": (((SKIPPABLE, digest(b"")),), GZIP_TYPE),
    "no byte at all": (((b"", digest(b"")),), GZIP_TYPE),
}

_TYPES = (
    OCI_TYPE,
    f"{OCI_TYPE}+gzip",
    f"{OCI_TYPE}+zstd",
    f"{OCI_TYPE}+bzip2",
    f"{OCI_TYPE}+encrypted",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    GZIP_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.v2.tar",
    "application/octet-stream",
    "",
)
TYPE_RULES: dict[str, tuple[tuple[Blob, ...], str]] = {
    f"media type {media_type or 'of nothing'}, {name}": (
        (_blob(1000 + 3 * row + column, compress),),
        media_type,
    )
    for row, media_type in enumerate(_TYPES)
    for column, (name, compress) in enumerate({"plain": bytes, "gzip": gzip.compress, "zstd": zstd}.items())
}
