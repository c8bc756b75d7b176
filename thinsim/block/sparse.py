"""A sparse file as a block device: discard punches a hole, and what a punch freed is counted.

What the process rig and the tests stand on: no root, no device nodes, the host's own allocation.
"""

import errno
import os
from pathlib import Path

from fuse_backing.sparsefile import SparseFile

from thinsim.errors import InvalidValueError
