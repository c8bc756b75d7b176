"""Maps an error to a gRPC status code as containerd's errdefs maps containerd's classes.

``github.com/containerd/errdefs``, ``pkg/errgrpc/grpc.go``; containerd makes the class of the code again.
"""

from grpc import StatusCode

from thinsim.snapshotter.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)

CODES: dict[type[Exception], StatusCode] = {
    AlreadyExistsError: StatusCode.ALREADY_EXISTS,
    NotFoundError: StatusCode.NOT_FOUND,
    FailedPreconditionError: StatusCode.FAILED_PRECONDITION,
    InvalidArgumentError: StatusCode.INVALID_ARGUMENT,
}


def code_of(error: BaseException) -> StatusCode:
    """Return the code of *error*; UNKNOWN for what has no class, such as a device-mapper's refusal."""
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), StatusCode.UNKNOWN)
