"""A `CommandContender` runs under this small program, which measures the command and nothing of thinsim.

The kernel counts the memory that a process has before exec as well (exec_mmap in fs/exec.c), so a child of
thinsim would never need less than thinsim itself. The program therefore imports nothing of thinsim, and runs
as a script.
"""

import json
import os
import sys
import time

_TO_NOWHERE = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)


def run_measured(command: str) -> dict[str, float]:
    """Run *command* in a shell without its output, and return its wait status and its costs."""
    begun = time.monotonic()
    child = os.posix_spawn("/bin/sh", ["/bin/sh", "-c", command], os.environ, file_actions=[_TO_NOWHERE])
    _, status, used = os.wait4(child, 0)
    return {
        "status": status,
        "seconds": time.monotonic() - begun,
        "user": used.ru_utime,
        "system": used.ru_stime,
        "memory": used.ru_maxrss << 10,
    }


if __name__ == "__main__":
    print(json.dumps(run_measured(sys.argv[1])))
