"""`TRANSPORTS` names the ways of FUSE's requests over which tests run."""

import os

from fuse_backing.fuse_switch import RECORD
from fuse_backing.fuse_uring import DEVICE, IO_URING, SWITCH, FuseUring, lack
from thinsim.machine.fuse_transport import VARIABLE

TRANSPORTS = {DEVICE.name: FuseUring.OFF, IO_URING.name: FuseUring.ENABLE}


def missing_for(transport: str) -> str | None:
    """Return what keeps tests from using *transport* here, and how to get it."""
    if TRANSPORTS[transport] is FuseUring.OFF:
        return None
    lacking = lack()
    if lacking is None or (SWITCH.exists() and os.access(SWITCH, os.W_OK) and RECORD.parent.parent.is_dir()):
        return None
    return f"needs FUSE over io_uring: {lacking}"


def chosen() -> FuseUring:
    """Return the choice of the test that runs."""
    return FuseUring(os.environ.get(VARIABLE, FuseUring.OFF))


def transport_chosen(choice: FuseUring) -> tuple[str, str]:
    """Return the variable of the environment, and its value, that make this choice."""
    return VARIABLE, choice.value
