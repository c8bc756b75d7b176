"""Gives a snapshot's fields as filters name them: ``kind``, ``name``, ``parent``, ``labels.NAME``.

containerd ``core/snapshots/storage/bolt.go``, ``adaptSnapshot``. A label's dots and further parts of
its path are one: ``labels.a.b`` and ``labels."a.b"`` are the label ``a.b``.
"""

from collections.abc import Sequence

from thinsim.snapshotter.filters.selectors import Adaptor
from thinsim.snapshotter.interface import Info


def fields_of(info: Info) -> Adaptor:
    """Return the adaptor of *info*. The parent of a base snapshot is there, and empty."""

    def field(path: Sequence[str]) -> str | None:
        match path:
            case ["kind", *_]:
                return info.kind.lower()
            case ["name", *_]:
                return info.name
            case ["parent", *_]:
                return info.parent
            case ["labels", *names]:
                return info.labels.get(".".join(names))
        return None

    return field
