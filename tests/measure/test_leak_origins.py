"""The explanation of a leak separates files from the file system's own structures."""

from thinsim.measure.leak_origins import origin_lines

MIB = 1 << 20


def test_files_and_the_structures_of_ext4_have_their_own_lines() -> None:
    origins = {"prepare web": 24 * MIB, "write data in web": 8 * MIB + 4096}
    assert origin_lines(origins, {"write data in web": 8 * MIB}, fs_type="ext4") == [
        "24 MiB in blocks that 'prepare web' took: the file system's own structures "
        "(ext4's superblocks, journal and inode tables)",
        "8.0 MiB in blocks that 'write data in web' took: 8 MiB of files; "
        "the other 4 KiB are the file system's structures for them and unused parts of data blocks",
    ]


def test_a_step_that_leaks_less_than_it_wrote_leaks_a_part_of_its_files() -> None:
    (line,) = origin_lines({"write a in web": MIB}, {"write a in web": 2 * MIB})
    assert line == "1 MiB in blocks that 'write a in web' took: part of 2 MiB of files"


def test_files_of_unknown_size_are_files() -> None:
    (line,) = origin_lines({"unpack app-1": MIB}, {"unpack app-1": None})
    assert line.endswith("took: files")


def test_a_file_system_that_is_simulated_has_no_names_of_structures() -> None:
    (line,) = origin_lines({"prepare web": MIB}, {})
    assert line.endswith("took: the file system's own structures")


def test_the_smallest_of_many_steps_share_a_line() -> None:
    lines = origin_lines({f"write {number} in web": number * MIB for number in range(1, 9)}, {})
    assert len(lines) == 6
    assert lines[0].startswith("8 MiB in blocks that 'write 8 in web' took")
    assert lines[-1] == "6 MiB in blocks of 3 more steps"
