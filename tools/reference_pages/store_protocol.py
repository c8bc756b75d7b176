"""The objects of a store's control socket and the keys of fault plans are the fields of their classes."""

from fuse_backing.events import Bucket, Histogram, LedgerEvent, Totals
from fuse_backing.faults import Fault
from fuse_backing.latency import OperationLatency
from fuse_backing.store_client import ServerInfo, StoreCounts
from tools.reference_pages.keys import REQUIRED, Key, TypeWords, key_table
from tools.reference_pages.markdown import code

WORDS = TypeWords(lambda kind: f"`{kind.__name__}`")
OBJECTS: tuple[type, ...] = (ServerInfo, StoreCounts, Totals, OperationLatency, Histogram, Bucket)


def objects() -> str:
    """Return the objects of answers, each with its keys."""
    return "\n".join(f"### {kind.__name__}\n\n{key_table(kind, WORDS)}" for kind in OBJECTS)


def event() -> str:
    """Return the keys of an event."""
    return key_table(LedgerEvent, WORDS)


def fault() -> str:
    """Return the keys of a fault in a plan."""
    return key_table(Fault, WORDS, _default)


def _default(key: Key) -> str:
    if key.default is REQUIRED:
        return "required"
    return "" if key.default is None else code(str(key.default))
