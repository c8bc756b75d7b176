"""An OCI archive with neither a name nor a layer is legal, and thinsim runs it as any other."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

MISSING = [name for name in ("containerd", "ctr", "runc", "busybox", "dmsetup") if shutil.which(name) is None]
PACKAGES = "containerd runc busybox-static dmsetup"
OCI = "application/vnd.oci.image"


def bare_image(path: Path) -> Path:
    files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def blob(kind: str, document: dict[str, Any]) -> dict[str, Any]:
        content = json.dumps(document).encode()
        digest = hashlib.sha256(content).hexdigest()
        files[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"{OCI}.{kind}.v1+json", "digest": f"sha256:{digest}", "size": len(content)}

    rootfs = {"type": "layers", "diff_ids": []}
    config = blob("config", {"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {}})
    manifest = blob("manifest", {"schemaVersion": 2, "config": config, "layers": []})
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.rig
@pytest.mark.parametrize(
    "subject",
    [
        "core",
        pytest.param(
            "containerd",
            marks=pytest.mark.skipif(
                bool(MISSING),
                reason=f"missing: {', '.join(MISSING)} (apt-get install {PACKAGES})",
            ),
        ),
    ],
)
def test_a_container_of_an_image_without_name_and_layers_runs_and_leaks_nothing(
    tmp_path: Path, subject: str
) -> None:
    image = bare_image(tmp_path / "bare.tar")
    words = ["reproduce", "--image", image, "--rig", "emulated", "--subject", subject, "--setting", "on"]
    words += ["--container-mb", "1", "--json", "-", "--dir", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", "thinsim", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    assert run["leaks"] == []
    assert sum(sample["host_freed"] for sample in run["samples"]) > 1 << 20
