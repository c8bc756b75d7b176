"""The README begins with the picture, the sentence and the command, and stays short."""

import re

from tests.repository import REPOSITORY

LINES = (REPOSITORY / "README.md").read_text().splitlines()
MOST_LINES, MOST_LINES_BEFORE_THE_COMMAND = 120, 20


def test_it_has_at_most_120_lines() -> None:
    assert len(LINES) <= MOST_LINES


def test_the_picture_the_sentence_and_the_command_come_first() -> None:
    picture = next(number for number, line in enumerate(LINES) if "<picture>" in line)
    sentence = next(number for number, line in enumerate(LINES) if line.startswith("**containerd keeps "))
    command = next(number for number, line in enumerate(LINES) if line.startswith("make reproduce"))
    assert picture < sentence < command < MOST_LINES_BEFORE_THE_COMMAND


def test_each_of_three_uses_has_one_block() -> None:
    sections = re.split(r"^## ", "\n".join(LINES), flags=re.MULTILINE)
    uses = [section for section in sections if section.startswith("I ")]
    assert [use.splitlines()[0] for use in uses] == [
        "I have a leak",
        "I want a gate in CI",
        "I compare speed",
    ]
    assert [use.count("```") for use in uses] == [2, 2, 2]
