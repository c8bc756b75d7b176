"""The colours of the page have the contrast that WCAG 2 demands, on screen and on paper."""

import re
from itertools import pairwise, product
from pathlib import Path

import pytest

import thinsim.report.html
from thinsim.report.html.discards import LEVELS

TEMPLATE = Path(thinsim.report.html.__file__).with_name("style.css.j2").read_text()
PALETTES = {
    medium: dict(re.findall(r"(--[\w-]+): (#\w+);", text))
    for medium, text in zip(
        ("light", "dark", "paper"), re.findall(r"(?s):root \{(.*?)\n?\s*\}", TEMPLATE), strict=True
    )
}
BACKGROUNDS = ("--page", "--odd", "--even")
TEXTS = ("--text", "--dim", "--good", "--bad")
LINES = ("--host", "--store", "--pool", "--core", "--leak")
SHADES = tuple(f"--h{number}" for number in range(1, LEVELS + 1))


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rgb`` or ``#rrggbb``, 0 to 1 (WCAG 2.2, relative luminance)."""
    digits = colour.removeprefix("#")
    digits = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("medium", PALETTES)
def test_text_has_four_and_a_half_to_one_and_a_shape_three(medium: str) -> None:
    colours = PALETTES[medium]
    faint = [
        f"{name} on {below}: {found:.2f}"
        for names, least in ((TEXTS, 4.5), (LINES + SHADES, 3.0))
        for name, below in product(names, BACKGROUNDS)
        if (found := contrast(colours[name], colours[below])) < least
    ]
    assert faint == []


@pytest.mark.parametrize("medium", PALETTES)
def test_each_shade_of_the_heat_map_has_more_contrast_than_the_one_before(medium: str) -> None:
    steps = [contrast(PALETTES[medium][name], PALETTES[medium]["--odd"]) for name in SHADES]
    assert all(after / before > 1.2 for before, after in pairwise(steps)), steps


def test_the_contrast_is_that_of_the_guideline() -> None:
    assert contrast("#fff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
