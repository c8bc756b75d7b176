"""`code_of` maps an error to a gRPC status code, as containerd's errdefs does with its own classes.

See ``github.com/containerd/errdefs``, ``pkg/errgrpc/grpc.go``. containerd maps the code back to its class.
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
    """Return the code of *error*; UNKNOWN for an error without one, such as a refusal by device-mapper."""
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), StatusCode.UNKNOWN)
