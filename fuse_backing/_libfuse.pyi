from collections.abc import Callable
from typing import final

@final
class Request:
    @property
    def answered(self) -> bool: ...

def set_handlers(
    *,
    fallocate: Callable[[Request, int, int, int, int, int], object] | None = None,
    lseek: Callable[[Request, int, int, int, int], object] | None = None,
    statfs: Callable[[Request, int], object] | None = None,
) -> None: ...
def reply_err(request: Request, errno: int, /) -> bool: ...
def reply_lseek(request: Request, offset: int, /) -> bool: ...
def reply_statfs(
    request: Request,
    bsize: int,
    frsize: int,
    blocks: int,
    bfree: int,
    bavail: int,
    files: int,
    ffree: int,
    favail: int,
    namemax: int,
    /,
) -> bool: ...
def sessions() -> int: ...
