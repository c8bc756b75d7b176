"""`fields_of` maps a snapshot's fields to filter paths: ``kind``, ``name``, ``parent``, ``labels.NAME``.

It follows ``adaptSnapshot`` in containerd ``core/snapshots/storage/bolt.go``. Dots in a label and
separators of the path are the same: ``labels.a.b`` and ``labels."a.b"`` both name the label ``a.b``.
"""

from collections.abc import Sequence

from thinsim.snapshotter.filters.selectors import Adaptor
from thinsim.snapshotter.interface import Info


def fields_of(info: Info) -> Adaptor:
    """Return the adaptor of *info*. A base snapshot has a parent field, which is empty."""

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
