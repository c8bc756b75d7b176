"""An image's JSON documents are read with a check of the type of each field.

The documents come from outside, so a field of the wrong type is an error of the image that names the field,
and never a later TypeError. They are read as Go's ``encoding/json`` reads them for containerd. Field names
ignore case, the last of two equal fields counts, null means absent, and bytes that are not UTF-8 become
U+FFFD. A byte order mark, UTF-16, NaN and Infinity are refused.
"""

import json
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from thinsim.workload.image.blobs import Blobs
from thinsim.workload.image.digests import checked_digest, digest_of
from thinsim.workload.image.errors import InvalidImageError

LARGEST_DOCUMENT = 8 << 20
"""Largest size of a JSON document in bytes; containerd has the same limit when it pulls manifests."""

NAMES = (
    *("imageLayoutVersion", "schemaVersion", "mediaType", "artifactType", "manifests", "annotations"),
    *("config", "layers", "subject", "blobs", "fsLayers", "digest", "size", "urls", "platform"),
    *("os", "architecture", "variant", "rootfs", "diff_ids"),
)
"""Fields of OCI's documents, in the spelling that the code uses."""

Object = dict[str, Any]
_T = TypeVar("_T")


def read_document(blobs: Blobs, name: str, names: Sequence[str] = NAMES) -> tuple[bytes, Any]:
    """Return the bytes and the JSON value of the file *name*.

    *names* are the fields that the caller reads, in the caller's spelling. Raises InvalidImageError.
    """
    where = f"{blobs.path}: {name}"
    size = blobs.size(name)
    if size is not None and size > LARGEST_DOCUMENT:
        raise InvalidImageError(
            f"{where}: is too large: {size} bytes; a JSON document may have {LARGEST_DOCUMENT}"
        )
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
    raise ValueError(f"{constant} is not a number in JSON")


def read_blob(blobs: Blobs, digest: object, what: str) -> Object:
    """Return the JSON object in the blob *digest* after verifying the digest; *what* names it in errors."""
    digest = checked_digest(digest, f"{blobs.path}: {what}")
    name = blob_name(digest)
    if blobs.size(name) is None:
        raise InvalidImageError(f"{blobs.path}: {name} ({what}) {blobs.absence(name)}")
    data, value = read_document(blobs, name)
    if (actual := digest_of(data)) != digest:
        raise InvalidImageError(f"{blobs.path}: {name}: wrong content: its digest is {actual}")
    return checked(value, dict, f"{blobs.path}: {name}")


def blob_name(digest: str) -> str:
    """Return the name of the blob of *digest* in an OCI image layout."""
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def checked(value: object, kind: type[_T], where: str) -> _T:
    """Return *value* if it is of the JSON type *kind*, else raise InvalidImageError."""
    if not isinstance(value, kind):
        names = {dict: "an object", list: "a list", str: "a string", int: "a number"}
        raise InvalidImageError(f"{where}: is not {names.get(kind, kind.__name__)}: {str(value)[:60]!r}")
    return value


def field(document: Object, key: str, kind: type[_T], where: str, absent: _T | None = None) -> _T:
    """Return ``document[key]``, which must be of the JSON type *kind*, or *absent* if the key is missing.

    Raises InvalidImageError for another type, and for a missing key if *absent* is None.
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
    """Return the annotation *key* of *descriptor*, or "" if it has none."""
    annotations = descriptor.get("annotations")
    value = annotations.get(key) if isinstance(annotations, dict) else None
    return value if isinstance(value, str) else ""


def diff_ids(config: Object, count: int, where: str) -> list[str]:
    """Return the digests of the *count* layers' uncompressed tars (OCI image-spec, config.md)."""
    # Docker's images without layers have null for diff_ids, and some have no rootfs
    absent: list[Any] | None = [] if count == 0 else None
    rootfs = field(config, "rootfs", dict, where, None if absent is None else {})
    ids = field(rootfs, "diff_ids", list, where, absent)
    found = [checked_digest(item, f"{where}: diff_ids") for item in ids]
    if len(found) != count:
        raise InvalidImageError(f"{where}: has {len(found)} diff_ids for {count} layers")
    return found
