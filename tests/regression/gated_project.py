"""A `GatedProject` is a directory with two scenarios and a baseline that ``thinsim ci`` compares with."""

import json
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from thinsim.cli.main import status_of

SCENARIO = """
title = "TITLE"
[pool]
data_size = "64MiB"
[snapshotter]
base_image_size = "32MiB"
[[variant]]
name = "off"
[[variant]]
name = "on"
snapshotter = { discard_blocks = true }
[[phase]]
name = "ran"
steps = [{ do = "prepare", key = "container" }, { do = "write", key = "container", size = "2MiB" }]
[[phase]]
name = "removed"
steps = [{ do = "remove", key = "container" }, { do = "assert", pool_used = 0 }]
"""
MORE = SCENARIO.replace('"2MiB"', '"2112KiB"')
"""One data block more."""
FAILING = SCENARIO.replace('"remove", key = "container"', '"remove", key = "gone"')


@dataclass
class GatedProject:
    """A `GatedProject` has two scenarios, ``a.toml`` and ``b.toml``, and a baseline of them."""

    directory: Path
    capsys: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    def write(self, name: str, text: str = SCENARIO) -> None:
        (self.directory / name).write_text(text.replace("TITLE", name))

    def save(self, *names: str, options: tuple[str, ...] = ()) -> int:
        return self._call("baseline", "save", *(names or ("a.toml", "b.toml")), "-o", "b.json", *options)

    def ci(self, *words: str) -> int:
        outputs = ("--junit", "j.xml", "--markdown", "m.md", "--json", "now.json")
        for name in outputs[1::2]:
            (self.directory / name).unlink(missing_ok=True)
        return self._call("ci", "--baseline", "b.json", "--no-speed", *outputs, *words)

    def timed_ci(self, *words: str) -> int:
        return self._call("ci", "--baseline", "b.json", *words)

    def _call(self, *words: str) -> int:
        common = ("--rounds", "1", "--most-rounds", "1", "--dir", str(self.directory))
        rig = () if "--rig" in words else ("--rig", "process")
        status = status_of([*words, *common, *rig])
        self.out, self.err = self.capsys.readouterr()
        return status

    @property
    def summary(self) -> str:
        return (self.directory / "m.md").read_text()

    @property
    def cases(self) -> dict[str, str]:
        """Return each JUnit case that did not pass: ``SUITE: CASE`` with the kind of its child."""
        root = ElementTree.parse(self.directory / "j.xml").getroot()
        return {
            f"{case.get('classname')}: {case.get('name')}": case[0].tag
            for case in root.iter("testcase")
            if len(case) and "speed" not in (case.get("name") or "")
        }

    @property
    def stored(self) -> dict[str, dict[str, int]]:
        """Return the leaked blocks of each variant by the key of the scenario in the baseline."""
        document = json.loads((self.directory / "b.json").read_text())
        return {
            each["key"]: {variant["name"]: variant["most_blocks"] for variant in each["variants"]}
            for each in document["scenarios"]
        }
