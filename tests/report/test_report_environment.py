"""The environment of a report has the facts that its numbers may depend on, and no more."""

from pathlib import Path

import pytest

from thinsim.machine import programs
from thinsim.report.environment import environment


def test_containerd_is_in_the_environment_where_it_took_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "SYSTEM_PLACES", ())
    facts = {"containerd": "1.7.24, revision abc", "runc": "1.1.15"}
    found = environment(tmp_path, containerd=facts)
    assert {name: found[name] for name in facts} == facts
    assert found["mkfs.ext4"] == "not installed"
    assert set(found) - set(environment(tmp_path)) == {"containerd", "runc"}
