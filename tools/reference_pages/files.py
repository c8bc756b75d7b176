"""`places` lists the directories and variables of a program, for its manual page."""

from thinsim.machine.sockets import RUNTIME_VARIABLE
from thinsim.machine.state import STATE_VARIABLE
from tools.reference_pages.markdown import code

_PLACES = {
    "thinsim": (
        (
            "/var/lib/thinsim",
            "journals of runs, records of pools, and the devices of the emulated device-mapper. Without root "
            "it is `$XDG_STATE_HOME/thinsim` or `~/.local/state/thinsim`. "
            f"{code(STATE_VARIABLE)} names another directory.",
        ),
        (
            "/run/thinsim",
            "control sockets, and the outcome of the KVM trial. Without root the sockets are in "
            f"`$XDG_RUNTIME_DIR/thinsim`; {code(RUNTIME_VARIABLE)} names another directory.",
        ),
    ),
    "fuse-backing": (
        (
            "/run/fuse-backing",
            "control sockets and logs of servers. Without root they are in `$XDG_RUNTIME_DIR/fuse-backing`, "
            "in `/run/user/UID/fuse-backing`, or in `fuse-backing-UID` of the directory for temporary "
            "files: the first of these that the user owns. A command finds the socket of a running server "
            "of the same user even if its own `XDG_RUNTIME_DIR` differs.",
        ),
    ),
}


def places(program: str) -> str:
    """Return the directories of a program as a definition list."""
    return "\n\n".join(f"`{path}`\n: {text}" for path, text in _PLACES[program]) + "\n"
