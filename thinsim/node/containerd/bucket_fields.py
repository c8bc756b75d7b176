"""`BucketFields` reads the fields of a record, a bucket, in the encodings that containerd writes.

Those are Go's varints (encoding/binary), Go's binary times (time.Time.MarshalBinary), and UTF-8.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from thinsim.node.containerd.bolt import BoltBucket
from thinsim.node.containerd.errors import DatabasePlace

_LONGEST_VARINT = 10
_TIME = struct.Struct(">BQI")
_TIME_SIZES = {1: 15, 2: 16}
"""The sizes of Go's binary times by version. Version 2 also has the seconds of a zone."""
_GIGA = 10**9
_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class BucketFields:
    """A `BucketFields` has the values of *bucket*; DamagedDatabaseError names the field below *place*.

    A field that is absent is empty, 0 or None, as for containerd.
    """

    bucket: BoltBucket
    place: DatabasePlace

    def text(self, key: bytes) -> str:
        """Return the text of *key*, or an empty one."""
        return text_of(self.bucket.values.get(key, b""), self.place.within(key))

    def uvarint(self, key: bytes) -> int:
        """Return the unsigned number of *key*, or 0."""
        content = self.bucket.values.get(key)
        return 0 if content is None else uvarint_of(content, self.place.within(key))

    def varint(self, key: bytes) -> int:
        """Return the signed number of *key*, or 0."""
        content = self.uvarint(key)
        return content >> 1 ^ -(content & 1)

    def time(self, key: bytes) -> datetime | None:
        """Return the time of *key* in UTC, to the microsecond, or None."""
        content = self.bucket.values.get(key)
        return None if content is None else time_of(content, self.place.within(key))

    def labels(self) -> Mapping[str, str]:
        """Return the labels of the record (containerd's boltutil, ReadLabels)."""
        labels = self.inner(b"labels")
        if labels is None:
            return {}
        return {
            text_of(key, labels.place.within(key)): text_of(value, labels.place.within(key))
            for key, value in labels.bucket.values.items()
        }

    def inner(self, *keys: bytes) -> "BucketFields | None":
        """Return the bucket below *keys*, or None if it does not exist."""
        found = self
        for key in keys:
            bucket = found.bucket.buckets.get(key)
            if bucket is None:
                return None
            found = BucketFields(bucket, found.place.within(key))
        return found

    def each(self, *keys: bytes) -> Iterator[tuple[str, "BucketFields"]]:
        """Yield the name and the fields of each bucket in the bucket below *keys*."""
        found = self.inner(*keys)
        for key, bucket in found.bucket.buckets.items() if found is not None else ():
            place = found.place.within(key) if found is not None else self.place
            yield text_of(key, place), BucketFields(bucket, place)

    def names(self, *keys: bytes) -> tuple[str, ...]:
        """Return the keys with values in the bucket below *keys*, whose values have no meaning."""
        found = self.inner(*keys)
        if found is None:
            return ()
        return tuple(text_of(key, found.place.within(key)) for key in found.bucket.values)


def text_of(content: bytes, place: DatabasePlace) -> str:
    """Return *content* as text; DamagedDatabaseError if it is not UTF-8."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise place.damaged(f"byte {error.start} is not UTF-8") from error


def uvarint_of(content: bytes, place: DatabasePlace) -> int:
    """Return the number whose Go varint is *content*; DamagedDatabaseError unless it is one of 64 bits."""
    found = 0
    for index, byte in enumerate(content):
        found |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if index + 1 == len(content) and found < 1 << 64:
                return found
            break
        if index + 1 == _LONGEST_VARINT:
            break
    raise place.damaged(f"{content[: _LONGEST_VARINT + 1].hex() or 'nothing'} is not a varint of 64 bits")


def time_of(content: bytes, place: DatabasePlace) -> datetime:
    """Return the time whose Go binary form is *content*; DamagedDatabaseError if it is none."""
    if not content or len(content) != _TIME_SIZES.get(content[0]):
        raise place.damaged(f"{content[:16].hex() or 'nothing'} is not a binary time")
    _, seconds, nanoseconds = _TIME.unpack_from(content)
    try:
        if nanoseconds >= _GIGA:
            raise OverflowError
        return _YEAR_ONE + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
    except OverflowError:
        raise place.damaged(f"{content.hex()} is not a time before the year 10000") from None
