"""Each mark of the tests has a row in CONTRIBUTING.md, and ``make check`` leaves out all but one."""

import re
import tomllib

from tests.repository import REPOSITORY

SETTINGS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
MARKS = {re.split(r"[:(]", line)[0] for line in SETTINGS["markers"]}


def test_make_check_leaves_out_every_mark_but_that_of_having_the_machine_to_oneself() -> None:
    [left_out] = re.findall(r"^UNCHECKED := (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert set(left_out.split(" or ")) == MARKS - {"alone"}


def test_contributing_explains_each_mark() -> None:
    table = (REPOSITORY / "CONTRIBUTING.md").read_text().split("| mark |")[1].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)", table, re.MULTILINE)) == MARKS
