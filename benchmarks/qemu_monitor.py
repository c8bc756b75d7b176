"""A `QemuMonitor` sends commands of the QEMU Machine Protocol to a qemu-storage-daemon."""

import json
import socket
from pathlib import Path
from typing import Any


class QemuMonitor:
    """A `QemuMonitor` is connected to the socket *path* while it is open."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._stream = self._socket.makefile("rw")
        self._stream.readline()  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: str) -> Any:
        """Return the answer of a command. RuntimeError if the daemon refuses it."""
        self._stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._stream.flush()
        while line := self._stream.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"qemu-storage-daemon refuses {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise RuntimeError(f"qemu-storage-daemon ended during {command}")

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()
        self._socket.close()
