"""The schema files of the package are those that the code generates."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import thinsim
from thinsim.benchmark import comparison
from thinsim.benchmark import document as benchmark
from thinsim.report import document as report
from thinsim.scenario.file import document as scenario

PACKAGE = Path(thinsim.__file__).parent

SCHEMAS = {
    "benchmark/benchmark.schema.json": (benchmark.json_schema, "thinsim bench --schema"),
    "benchmark/comparison.schema.json": (comparison.json_schema, "thinsim compare --schema"),
    "report/report.schema.json": (report.json_schema, "thinsim report --schema"),
    "scenario/file/scenario.schema.json": (scenario.json_schema, "thinsim scenarios schema"),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_file_matches_the_code(name: str) -> None:
    generated: Callable[[], dict[str, Any]]
    generated, command = SCHEMAS[name]
    # Pydantic's own words may change from one version to the next, but not the demands of the schema.
    stored = json.loads((PACKAGE / name).read_text())
    fresh = generated()
    assert _demands(stored) == _demands(fresh), f"write it again: {command} > thinsim/{name}"


def _demands(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _demands(value) for key, value in schema.items() if key not in ("title", "description")}
    return [_demands(each) for each in schema] if isinstance(schema, list) else schema
