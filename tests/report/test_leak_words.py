"""A leak has its owner's words, and a line for each step that took its blocks."""

from thinsim.measure.attribution import Leak, LeakOrigin, Owner
from thinsim.report.leak_words import leak_lines, leak_parts, leaked_more, origin_lines

MIB = 1 << 20


def _leak(snapshot: str, size: int, *origins: LeakOrigin, thin_id: int = 1) -> Leak:
    owner = Owner(snapshot, thin_id, f"remove {snapshot}", "discard_blocks is off")
    return Leak(owner, size >> 16, size, origins)


def _lines(*origins: LeakOrigin, fs_type: str = "") -> list[str]:
    return origin_lines(_leak("web", sum(each.bytes for each in origins), *origins), fs_type)


def test_a_message_names_size_owner_step_and_reason() -> None:
    assert leak_lines([_leak("web", 2 * MIB)], "") == [
        "web (thin 1): 2 MiB (2097152 bytes in 32 blocks), leaked by 'remove web': discard_blocks is off"
    ]
    assert leak_lines([_leak("", MIB, thin_id=7)], "")[0].startswith("thin 7: 1 MiB (")


def test_the_largest_owners_come_first_and_the_others_are_added_up() -> None:
    leaks = [
        _leak("a", 3 * MIB, LeakOrigin("write a", 3 * MIB, 3 * MIB)),
        _leak("b", 2 * MIB),
        _leak("c", MIB),
    ]
    lines = leak_lines(leaks, "", most=1)
    assert [line.split(" (")[0] for line in lines] == [
        "a",
        "  3 MiB in blocks that 'write a' took: 3 MiB of files",
        "2 smaller leaks: 3 MiB",
    ]
    assert leak_lines(leaks[:2], "", most=1)[-1] == "1 smaller leak: 2 MiB"
    assert leak_parts(leaks, "") == ["a (thin 1): 3 MiB in blocks that 'write a' took: 3 MiB of files"]


def test_a_leak_within_the_limit_has_no_message() -> None:
    assert leaked_more([_leak("a", MIB)], MIB, "") == []
    assert leaked_more([_leak("a", MIB)], MIB - 1, "")[0].startswith(
        "leaked 1 MiB (1048576 bytes), more than "
    )


def test_files_and_the_structures_of_ext4_have_their_own_lines() -> None:
    prepared = LeakOrigin("prepare web", 24 * MIB, 0)
    written = LeakOrigin("write data in web", 8 * MIB + 4096, 8 * MIB)
    assert _lines(prepared, written, fs_type="ext4") == [
        "24 MiB in blocks that 'prepare web' took: the file system's own structures "
        "(ext4's superblocks, journal and inode tables)",
        "8.0 MiB in blocks that 'write data in web' took: 8 MiB of files; "
        "the other 4 KiB are the file system's structures for them and unused parts of data blocks",
    ]


def test_a_step_that_leaks_less_than_it_wrote_leaks_a_part_of_its_files() -> None:
    (line,) = _lines(LeakOrigin("write a in web", MIB, 2 * MIB))
    assert line == "1 MiB in blocks that 'write a in web' took: part of 2 MiB of files"


def test_files_of_unknown_size_have_no_number() -> None:
    (line,) = _lines(LeakOrigin("unpack app-1", MIB, None))
    assert line.endswith("took: files, and the file system's structures for them")


def test_a_file_system_that_is_simulated_has_no_names_of_structures() -> None:
    (line,) = _lines(LeakOrigin("prepare web", MIB, 0))
    assert line.endswith("took: the file system's own structures")


def test_the_smallest_of_many_steps_share_a_line() -> None:
    lines = _lines(*(LeakOrigin(f"write {number} in web", number * MIB, 0) for number in range(8, 0, -1)))
    assert len(lines) == 6
    assert lines[0].startswith("8 MiB in blocks that 'write 8 in web' took")
    assert lines[-1] == "6 MiB in blocks of 3 more steps"
