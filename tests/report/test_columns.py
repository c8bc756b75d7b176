"""Groups of columns are side by side under their headings."""

from thinsim.report.columns import Group, lay_out


def test_groups_are_side_by_side_under_their_headings() -> None:
    lines = lay_out(
        ["phase", "ran", "in all"],
        [
            Group("off", ("freed", "leaked"), [("1", "20"), ("3", "4")]),
            Group("a long heading", ("x",), [("y",), ("z",)]),
        ],
    )
    assert lines == [
        "               off         a long heading",
        "phase     freed  leaked                 x",
        "─────────────────────────────────────────",
        "ran           1      20                 y",
        "─────────────────────────────────────────",
        "in all        3       4                 z",
    ]
