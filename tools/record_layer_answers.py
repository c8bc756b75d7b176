"""The script records how this machine's containerd answers every layer rule, for the tests.

Run it from the project's directory when a rule is added: ``.venv/bin/python tools/record_layer_answers.py``.
It takes a minute or two, needs root, and changes tests/workload/image/data/containerd_layer_answers.json.
*--path* is a directory with another containerd and ctr to use.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.scenario.containerd.containerd_answers import answering, removed
from tests.workload.image.layer_rules import ANSWERS, RULES, condensed


async def main(path: str, target: Path) -> None:
    """Record every answer in *target*."""
    answers = {}
    with removed(Path(tempfile.mkdtemp(prefix="thinsim-answers-"))) as directory:
        async with answering(directory, directory, path) as containerd:
            for name, (layers, media_type) in RULES.items():
                answers[name] = condensed(await containerd.about(layers, media_type))
    command = [f"{path}/containerd" if path else "containerd", "--version"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[2]
    target.write_text(json.dumps({"containerd": version, "answers": answers}, indent=0) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", default="", help="directory of another containerd and ctr")
    parser.add_argument("--target", type=Path, default=ANSWERS)
    arguments = parser.parse_args()
    trio.run(main, arguments.path, arguments.target)
