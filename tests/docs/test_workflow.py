"""The workflow for a hosted runner has the public form, few rights, and uses the action as it is."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.repository import REPOSITORY

DIRECTORY = REPOSITORY / "examples" / "ci"
FILE = DIRECTORY / "storage.yml"
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text())
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["space"]["steps"]
ACTION = yaml.safe_load((DIRECTORY / "action.yml").read_text())


def has_the_form(schema: str, file: Path) -> bool:
    """Return whether *file* fits a public JSON schema, which comes with check-jsonschema."""
    words = ["check_jsonschema", "--builtin-schema", schema, str(file)]
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def test_it_has_the_form_of_a_workflow(tmp_path: Path) -> None:
    assert has_the_form("vendor.github-workflows", FILE)
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(FILE.read_text().replace("runs-on:", "run-on:"))
    assert not has_the_form("vendor.github-workflows", wrong)


def test_the_action_has_the_form_of_an_action(tmp_path: Path) -> None:
    assert has_the_form("vendor.github-actions", DIRECTORY / "action.yml")
    wrong = tmp_path / "action.yml"
    wrong.write_text((DIRECTORY / "action.yml").read_text().replace("using:", "use:"))
    assert not has_the_form("vendor.github-actions", wrong)


def test_it_may_read_the_code_and_write_the_comment_alone() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert WORKFLOW[True].keys() == {"push", "pull_request"}  # YAML 1.1 takes the key "on" for true
    assert re.fullmatch(r"ubuntu-\d\d\.04", WORKFLOW["jobs"]["space"]["runs-on"])


def test_its_actions_and_those_of_the_action_run_on_node_24() -> None:
    own, *_ = (step for step in STEPS if step["uses"].startswith("OWNER/"))
    assert own["uses"] == f"OWNER/thinsim/{DIRECTORY.relative_to(REPOSITORY)}@REF"
    assert own["with"].keys() <= ACTION["inputs"].keys()
    steps = [*STEPS, *ACTION["runs"]["steps"]]
    used = dict(step["uses"].split("@v") for step in steps if "uses" in step and step is not own)
    # These are the first versions for Node 24. Runners have no Node 20 any more.
    first = {"actions/checkout": 5, "actions/setup-python": 6, "actions/upload-artifact": 6}
    assert used.keys() == first.keys()
    assert all(int(version) >= first[name] for name, version in used.items())
