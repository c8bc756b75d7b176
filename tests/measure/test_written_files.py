"""The bytes of files are those that steps left in a snapshot, under its present or last name."""

from thinsim.measure.written_files import WrittenFiles


def test_files_follow_a_snapshot_into_its_committed_name() -> None:
    files = WrittenFiles()
    files.write("extract", "base", 10)
    files.write("extract", "more", 5)
    files.commit("layer", "extract")
    files.write("extract", "other", 1)
    assert files.sizes() == {"layer": 15, "extract": 1}


def test_deleted_files_do_not_count() -> None:
    files = WrittenFiles()
    files.write("a", "one", 10)
    files.write("a", "two", 5)
    files.delete("a", "one")
    files.delete("a", "of a parent")
    files.delete("unknown", "one")
    assert files.sizes() == {"a": 5}
