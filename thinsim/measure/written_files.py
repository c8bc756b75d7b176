"""`WrittenFiles` counts the bytes of the files that a run writes in each snapshot. Pure."""

from collections.abc import Mapping


class WrittenFiles:
    """A `WrittenFiles` knows the bytes of the files that a run left in each snapshot, by key or name.

    The numbers outlive the snapshot, because its leak does so as well. Files that others write are not in
    them.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, dict[str, int]] = {}

    def write(self, key: str, name: str, size: int) -> None:
        """Record that the new files *name* in snapshot *key* have *size* bytes."""
        of_key = self._sizes.setdefault(key, {})
        of_key[name] = of_key.get(name, 0) + size

    def delete(self, key: str, name: str) -> None:
        """Record that *name* was deleted in snapshot *key*. Files of a parent do not count."""
        self._sizes.get(key, {}).pop(name, None)

    def commit(self, name: str, key: str) -> None:
        """Record that the active snapshot *key* is now the committed snapshot *name*."""
        for file, size in self._sizes.pop(key, {}).items():
            self.write(name, file, size)

    def sizes(self) -> Mapping[str, int]:
        """Return the bytes by snapshot."""
        return {key: sum(of_key.values()) for key, of_key in self._sizes.items()}
