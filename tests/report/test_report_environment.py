"""The environment of a report has the facts that its numbers may depend on, and no more."""

from pathlib import Path

import pytest

from thinsim.machine import programs
from thinsim.report.environment import environment


def test_containerd_is_in_the_environment_where_it_took_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "containerd"
    program.write_text("#!/bin/sh\necho containerd github.com/containerd/containerd 9.8.7 abc\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "SYSTEM_PLACES", ())
    found = environment(tmp_path, containerd=True)
    assert found["containerd"] == "github.com/containerd/containerd 9.8.7 abc"
    assert found["runc"] == found["mkfs.ext4"] == "not installed"
    assert set(found) - set(environment(tmp_path)) == {"containerd", "runc"}
