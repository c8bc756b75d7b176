"""Reads JSON documents of an image, and their fields with the types they must have.

The documents come from outside: a field of the wrong type is the image's fault and is named, never a
TypeError somewhere later. They are read as Go's ``encoding/json`` reads them for containerd: names of fields
without regard to case, of two equal ones the last, null as if it were not there, and bytes that are no UTF-8
as U+FFFD; but neither a byte order mark nor UTF-16, NaN or Infinity.
"""

import json
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from thinsim.workload.image.blobs import Blobs
from thinsim.workload.image.digests import checked_digest, digest_of
from thinsim.workload.image.errors import InvalidImageError

LARGEST_DOCUMENT = 8 << 20
"""Bytes of one JSON document; containerd pulls manifests of up to the same size."""

NAMES = (
    *("imageLayoutVersion", "schemaVersion", "mediaType", "artifactType", "manifests", "annotations"),
    *("config", "layers", "subject", "blobs", "fsLayers", "digest", "size", "urls", "platform"),
    *("os", "architecture", "variant", "rootfs", "diff_ids"),
)
"""Fields of OCI's documents, as they are spelled here."""

Object = dict[str, Any]
_T = TypeVar("_T")


def read_document(blobs: Blobs, name: str, names: Sequence[str] = NAMES) -> tuple[bytes, Any]:
    """Return the bytes and the JSON value of the file *name*.

    *names* are the fields that are read, in their own spelling. Raises InvalidImageError.
    """
    where = f"{blobs.path}: {name}"
    size = blobs.size(name)
    if size is not None and size > LARGEST_DOCUMENT:
        raise InvalidImageError(f"{where}: {size} bytes are too many for a JSON document")
    with blobs.open(name) as file:
        data = file.read()
    spelled = {each.lower(): each for each in names}

    def pairs(found: list[tuple[str, Any]]) -> Object:
        return {spelled.get(key.lower(), key): value for key, value in found if value is not None}

    try:
        return data, json.loads(data.decode(errors="replace"), object_pairs_hook=pairs, parse_constant=_no)
    except (ValueError, RecursionError) as error:
        raise InvalidImageError(f"{where}: is not JSON: {error}") from None


def _no(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")


def read_blob(blobs: Blobs, digest: object, what: str) -> Object:
    """Return the JSON object in the blob *digest*, verified; *what* names it in errors."""
    digest = checked_digest(digest, f"{blobs.path}: {what}")
    name = blob_name(digest)
    if blobs.size(name) is None:
        raise InvalidImageError(f"{blobs.path}: {name} ({what}) {blobs.absence(name)}")
    data, value = read_document(blobs, name)
    if (actual := digest_of(data)) != digest:
        raise InvalidImageError(f"{blobs.path}: {name}: wrong content: its digest is {actual}")
    return checked(value, dict, f"{blobs.path}: {name}")


def blob_name(digest: str) -> str:
    """Return where the OCI image-layout spec puts the blob of *digest*."""
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def checked(value: object, kind: type[_T], where: str) -> _T:
    """Return *value* if it is of the JSON type *kind*; raises InvalidImageError."""
    if not isinstance(value, kind):
        names = {dict: "an object", list: "a list", str: "a string", int: "a number"}
        raise InvalidImageError(f"{where}: is not {names.get(kind, kind.__name__)}: {str(value)[:60]!r}")
    return value


def field(document: Object, key: str, kind: type[_T], where: str, absent: _T | None = None) -> _T:
    """Return ``document[key]``, which must be of the JSON type *kind*; *absent* if it is not there.

    Raises InvalidImageError, also if it is not there and *absent* is None.
    """
    if key in document:
        return checked(document[key], kind, f"{where}: {key!r}")
    if absent is None:
        raise InvalidImageError(f"{where}: has no {key!r}")
    return absent


def objects(document: Object, key: str, where: str, absent: list[Object] | None = None) -> list[Object]:
    """Return ``document[key]``, which must be a list of objects; *absent* as for `field`."""
    return [checked(item, dict, f"{where}: {key!r}") for item in field(document, key, list, where, absent)]


def annotation(descriptor: Object, key: str) -> str:
    """Return an annotation of *descriptor*, or "" if it has none of that name."""
    annotations = descriptor.get("annotations")
    value = annotations.get(key) if isinstance(annotations, dict) else None
    return value if isinstance(value, str) else ""


def diff_ids(config: Object, count: int, where: str) -> list[str]:
    """Return the digests of the *count* layers' uncompressed tars (OCI image-spec, config.md)."""
    # Docker's images of no layers have null for diff_ids, and some have no rootfs
    absent: list[Any] | None = [] if count == 0 else None
    rootfs = field(config, "rootfs", dict, where, None if absent is None else {})
    ids = field(rootfs, "diff_ids", list, where, absent)
    found = [checked_digest(item, f"{where}: diff_ids") for item in ids]
    if len(found) != count:
        raise InvalidImageError(f"{where}: has {len(found)} diff_ids for {count} layers")
    return found
