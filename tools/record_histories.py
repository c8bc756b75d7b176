#!/usr/bin/env python3
"""Record the histories that stand below, a file each, in the directory given.

usage: record_histories.py DIRECTORY [NAME]...
"""

import subprocess
import sys
import tempfile
from pathlib import Path

HISTORIES = {
    "seed1": ["1", "150"],
    "seed3-zeroing": ["3", "150", "--features", "0"],
    "seed4-256-sectors": ["4", "150", "--block", "256"],
    "seed5-1024-sectors-no-passdown": [
        *("5", "150", "--block", "1024", "--data-mb", "128"),
        *("--features", "2 skip_block_zeroing no_discard_passdown"),
    ],
    "seed6-full-error": [
        *("6", "200", "--data-mb", "12"),
        *("--features", "2 skip_block_zeroing error_if_no_space"),
    ],
    "seed7-ignore-discard": ["7", "150", "--features", "2 skip_block_zeroing ignore_discard"],
    "seed8-zeroing-full-error-256-sectors": [
        *("8", "200", "--block", "256", "--data-mb", "12"),
        *("--features", "1 error_if_no_space"),
    ],
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= HISTORIES.keys():
        sys.exit(f"{__doc__.split(chr(10) * 2)[1].strip()}\nnames: {' '.join(HISTORIES)}")
    script = Path(__file__).parent / "record_history.py"
    for name in sys.argv[2:] or HISTORIES:
        seed, count, *options = HISTORIES[name]
        print(name, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir="/dev/shm") as files:
            recording = Path(files, "recording")
            with recording.open("wb") as out:
                subprocess.run(
                    [sys.executable, str(script), seed, count, files, *options], stdout=out, check=True
                )
            Path(sys.argv[1], f"{name}.jsonl").write_bytes(recording.read_bytes())
