"""The script records the databases of a containerd, and the output of ctr about them, for the tests.

Run it as root from the project's directory, with a directory per build (``make containerd-builds`` gets
them): ``.venv/bin/python tools/record_containerd_databases.py .containerd/trixie .containerd/sid``. It
always records the installed containerd first. It changes the files in tests/node/containerd/recorded whose
names have the series of a build, such as ``1.6-meta.db.gz``.
"""

import argparse
import gzip
import json
import shutil
import sys
import tempfile
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.node.containerd.recorded_databases import RECORDED
from tests.node.containerd.scene import database_paths, populate, printed, running
from thinsim.scenario.containerd.builds import find_build


async def record(build: Path | None, target: Path) -> str:
    """Record the databases of *build*, or of the installed containerd; return its version."""
    found = find_build(build)
    series = ".".join(map(str, found.series))
    directory = Path(tempfile.mkdtemp(prefix="thinsim-record-"))
    try:
        async with running(directory, build) as (containerd, root_path, pool):
            await populate(containerd, directory)
            answers = {"version": found.version, "namespaces": await printed(containerd)}
        for name, path in database_paths(directory, root_path, pool).items():
            (target / f"{series}-{name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    finally:
        shutil.rmtree(directory)
    (target / f"{series}-ctr.json").write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")
    return found.version


async def main(builds: list[Path], target: Path) -> None:
    """Record the installed containerd and *builds*."""
    for build in (None, *builds):
        print(await record(build, target), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("builds", nargs="*", type=Path, help="directories with another containerd and ctr")
    parser.add_argument("--target", type=Path, default=RECORDED)
    arguments = parser.parse_args()
    trio.run(main, arguments.builds, arguments.target)
