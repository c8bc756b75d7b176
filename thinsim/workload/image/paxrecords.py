"""The records of a pax extended header change the header of the entry that follows.

The rules are those of Go's ``archive/tar`` (``parsePAXRecord``, ``mergePAX``). A record with an empty value
is ignored, so the header's field counts. If a key occurs twice, the last record counts. Unknown records are
skipped.
"""

from collections.abc import Mapping

from thinsim.workload.image.errors import MalformedTarError, shown
from thinsim.workload.image.tarheader import Header
from thinsim.workload.image.tarnumbers import decimal_number, decimal_time

XATTR = b"SCHILY.xattr."
SPARSE_MAP = b"GNU.sparse.map"
_SPARSE_PAIR = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
_TEXTS = (b"path", b"linkpath", b"uname", b"gname")


def parse_records(data: bytes) -> dict[bytes, bytes]:
    """Return the records in *data*, each ``LENGTH KEY=VALUE`` and a newline. Raises MalformedTarError.

    GNU's sparse format 0.0 repeats two keys; they are combined into the single record of format 0.1.
    """
    records: dict[bytes, bytes] = {}
    pairs: list[bytes] = []
    position = 0
    while position < len(data):
        key, value, position = _record(data, position)
        if key not in _SPARSE_PAIR:
            records[key] = value
        elif key != _SPARSE_PAIR[len(pairs) % 2] or b"," in value:
            raise MalformedTarError("has a malformed map of a sparse file")
        else:
            pairs.append(value)
    if pairs:
        records[SPARSE_MAP] = b",".join(pairs)
    return records


def _record(data: bytes, start: int) -> tuple[bytes, bytes, int]:
    """Return key, value and end of the record at *start*."""
    space = data.find(b" ", start)
    if space < 0:
        raise MalformedTarError("has a malformed pax record: no length")
    end = start + decimal_number(data[start:space], "length of a pax record")
    if end < start + 5 or end <= space + 1 or end > len(data) or data[end - 1 : end] != b"\n":
        raise MalformedTarError(f"has a malformed pax record: its length is {end - start}")
    key, equals, value = data[space + 1 : end - 1].partition(b"=")
    if not key or not equals:
        raise MalformedTarError(f"has a malformed pax record {shown(data[space + 1 : end - 1])}")
    if b"\0" in (value if key in _TEXTS else key):
        raise MalformedTarError(f"has a pax record with a NUL byte: {shown(key)}")
    return key, value, end


def merge_records(header: Header, records: Mapping[bytes, bytes]) -> None:
    """Overwrite fields of *header* with *records*. Raises MalformedTarError for a malformed number."""
    for key, value in records.items():
        if not value:
            continue
        match key:
            case b"path":
                header.path = value
            case b"linkpath":
                header.link = value
            case b"uid":
                header.uid = decimal_number(value, "pax uid")
            case b"gid":
                header.gid = decimal_number(value, "pax gid")
            case b"size":
                header.size = decimal_number(value, "pax size")
            case b"mtime":
                header.modified = decimal_time(value, "pax mtime")
            case b"atime":
                header.accessed = decimal_time(value, "pax atime")
            case b"ctime":
                decimal_time(value, "pax ctime")
