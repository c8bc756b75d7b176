"""A model of a write that provisions a block beside the plane's readers, explored in every order of steps.

The pool is not held meanwhile: the block was unmapped, so no reader uses a data block of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.fuse_backing.explored_states import explored

READERS = 2
REQUESTS = 2
"""The requests of each reader."""


@dataclass(frozen=True, slots=True)
class ProvisionOrder:
    """A `ProvisionOrder` is the order of Python's steps; each flag plants one race."""

    answers_before_it_forgets: bool = False
    """The write is answered while the table has the block as unmapped."""
    answers_before_it_marks: bool = False
    """The write is answered while readers still serve flushes of the device."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A `ModelRequest` reads the block or flushes the device; a *late* one began after the write's answer."""

    step: str = "begin"
    left: int = REQUESTS
    late: bool = False
    entry: str = ""


@dataclass(frozen=True, slots=True)
class ProvisionWorld:
    """A `ProvisionWorld` is one state of all threads and of what they share."""

    requests: tuple[ModelRequest, ...] = (ModelRequest(),) * READERS
    done: int = 0
    """The steps that the write has done."""
    entry: str = "unmapped"
    serves_flushes: bool = True
    answered: bool = False
    wrong: str = ""


def explore_provisioning(order: ProvisionOrder) -> tuple[int, str]:
    """Return the number of states that can be reached, and the first wrong one's words, or nothing."""
    return explored(ProvisionWorld(), lambda world: _successors(world, order))


def _successors(world: ProvisionWorld, order: ProvisionOrder) -> Iterator[ProvisionWorld]:
    yield from _write(world, order)
    for number, request in enumerate(world.requests):
        yield from _serve(world, number, request)


def _write(world: ProvisionWorld, order: ProvisionOrder) -> Iterator[ProvisionWorld]:
    steps = ["forget", "mark", "answer"]
    if order.answers_before_it_forgets:
        steps = ["mark", "answer", "forget"]
    if order.answers_before_it_marks:
        steps = ["forget", "answer", "mark"]
    if world.done < len(steps):
        after = replace(world, done=world.done + 1)
        match steps[world.done]:
            case "forget":
                yield replace(after, entry="unknown")
            case "mark":
                yield replace(after, serves_flushes=False)
            case "answer":
                yield replace(after, answered=True)


def _serve(world: ProvisionWorld, number: int, request: ModelRequest) -> Iterator[ProvisionWorld]:
    def to(step: str, **changes: object) -> ProvisionWorld:
        changed = replace(request, step=step, **changes)  # type: ignore[arg-type]
        return replace(world, requests=(*world.requests[:number], changed, *world.requests[number + 1 :]))

    match request.step:
        case "begin" if request.left:
            for kind in ("look up", "look for flushes"):
                yield to(kind, left=request.left - 1, late=world.answered)
        case "look up":
            yield to("transfer" if world.entry == "unmapped" else "begin", entry=world.entry)
        case "transfer" if request.late:
            yield replace(world, wrong=f"reader {number} returned zeros after the write was answered")
        case "look for flushes":
            yield to("flush" if world.serves_flushes else "begin")
        case "flush" if request.late:
            yield replace(world, wrong=f"reader {number} flushed no metadata after the write was answered")
        case "transfer" | "flush":
            yield to("begin")
