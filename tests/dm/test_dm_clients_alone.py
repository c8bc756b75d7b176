"""A client of a device-mapper loads nothing of the emulated one, and nothing of the store below it."""

import json
import subprocess
import sys

import pytest

TEXTS = {
    "thinsim.thin",
    "thinsim.thin.words",
    "thinsim.thin.mapping",
    "thinsim.thin.metadata",
    "thinsim.thin.metadata.dump_lines",
    "thinsim.thin.metadata.dump_reading",
}
"""The modules of the thin-provisioning engine that are needed to read tables and dumps of mappings."""

SCRIPT = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps({name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}))
"""


@pytest.mark.parametrize("client", ["kernel", "kernel_metadata", "emulated"])
def test_a_client_loads_nothing_of_the_emulator(client: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, f"thinsim.dm.clients.{client}"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded: dict[str, str] = json.loads(done.stdout)
    floors = ("thinsim.dm.emulator", "thinsim.dm.daemon", "thinsim.dm.standing", "thinsim.dm.dropin")
    assert [name for name in loaded if name.startswith(floors)] == []
    assert {name for name in loaded if name.split(".")[:2] == ["thinsim", "thin"]} <= TEXTS
    native = [name for name, file in loaded.items() if file.endswith(".so")]
    assert [name for name in native if name.startswith(("fuse_backing", "pyfuse3"))] == []
    assert "pyfuse3" not in loaded
