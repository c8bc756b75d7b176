"""A leak is described by its owner, and by the parts that make it larger than the files."""

import pytest

from thinsim.measure.attribution import Leak, Owner
from thinsim.report.leak_words import leak_lines, leak_parts

MIB = 1 << 20


def _leak(snapshot: str, size: int, thin_id: int = 1) -> Leak:
    return Leak(Owner(snapshot, thin_id, f"remove {snapshot}", "discard_blocks is off"), size >> 16, size)


def test_a_message_names_size_owner_step_and_reason() -> None:
    assert leak_lines([_leak("web", 2 * MIB)], {}) == [
        "web: 2 MiB (2097152 bytes in 32 blocks), leaked by 'remove web': discard_blocks is off"
    ]
    assert leak_lines([_leak("", MIB, thin_id=7)], {})[0].startswith("thin 7: 1 MiB (")


def test_the_largest_owners_come_first_and_the_others_are_added_up() -> None:
    lines = leak_lines([_leak("a", 3 * MIB), _leak("b", 2 * MIB), _leak("c", MIB)], {}, most=1)
    assert [line.split(" (")[0] for line in lines] == ["a: 3 MiB", "2 smaller leaks: 3 MiB"]
    lines = leak_lines([_leak("a", 3 * MIB), _leak("b", 2 * MIB)], {}, most=1)
    assert lines[1] == "1 smaller leak: 2 MiB"


def test_a_leak_larger_than_the_files_has_its_parts_explained() -> None:
    parts = leak_parts([_leak("a", 3 * MIB), _leak("a", MIB, 2), _leak("b", MIB)], {"a": MIB, "b": MIB})
    assert parts == [
        "a: 1 MiB of it are files that the run wrote; 3 MiB are the file system's own structures (journal, "
        "inode tables), files that were changed or deleted, and unused parts of blocks"
    ]


@pytest.mark.parametrize("files", [{}, {"a": MIB}, {"a": 2 * MIB}])
def test_a_leak_of_unknown_or_enough_files_is_not_explained(files: dict[str, int]) -> None:
    assert leak_parts([_leak("a", MIB)], files) == []
