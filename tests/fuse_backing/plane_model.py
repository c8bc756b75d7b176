"""A model of the plane's threads, step by step, explored in every order (fuse_backing/native/plane/plane.h).

Each step is one atomic access or one call that another thread can come before or after. The model has the
sequential consistency that the C code asks for. A reader transfers data itself, or it takes the request: it
begins the transfer, and goes on while the device carries it out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.fuse_backing.explored_states import explored

READERS = 2
REQUESTS = 2
"""The requests of each reader."""
CHANGES = 2
"""The changes of a mapping that the holder makes."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """A `Protocol` is the order of the steps; each flag plants one race."""

    looks_before_it_publishes: bool = False
    """A reader looks for holds, and then publishes what it serves."""
    asks_before_it_holds: bool = False
    """The holder looks for readers, and then counts its hold."""
    learns_after_release: bool = False
    """The holder forgets the old mapping after it has released its hold."""
    waits_for_the_first_reader_only: bool = False
    """The holder looks at one reader."""
    reuses_pages_at_once: bool = False
    """A page that left its table is used for other blocks while a reader may still look into it."""
    counts_after_it_leaves: bool = False
    """A reader ceases to publish, and then counts the request that it has taken."""
    asks_for_taken_requests_first: bool = False
    """The holder looks at the count of taken requests, and then for readers."""
    waits_for_readers_only: bool = False
    """The holder ignores taken requests."""
    counts_down_too_early: bool = False
    """A reader counts a taken request as complete while its transfer can still be in flight."""


TAKING = (
    "counts_after_it_leaves",
    "asks_for_taken_requests_first",
    "waits_for_readers_only",
    "counts_down_too_early",
)
"""The races that only readers can have that take requests."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A `Reader` serves requests for block 0; *step* is the next one."""

    step: str = "begin"
    left: int = REQUESTS
    publishes: bool = False
    turn: int = 0
    page: int | None = None
    entry: int | None = None
    flights: tuple[int | None, ...] = ()
    """The entries of the taken requests; None once the device has transferred the data."""


@dataclass(frozen=True, slots=True)
class World:
    """A `World` is one state of all threads and of what they share."""

    readers: tuple[Reader, ...] = (Reader(),) * READERS
    holder: str = "begin"
    left: int = CHANGES
    asked: int = 0
    holds: int = 0
    taken: int = 0
    """Requests that readers have taken, and not completed."""
    place: int = 0
    """Where block 0 is, by the metadata."""
    table_page: int | None = 0
    """The page in which the table has the entry of block 0."""
    pages: tuple[int | None, ...] = (0, None)
    """The entry in each page; None: unknown. A page of another block has a place that block 0 never has."""
    retired: tuple[int, tuple[int, ...]] | None = None
    """A page that left the table, and the readers' turns at that moment."""
    wrong: str = ""


OTHERS_PLACE = 99


def explore(protocol: Protocol, *, takes: bool = False) -> tuple[int, str]:
    """Return the number of states that can be reached, and the first wrong one's words, or nothing.

    With *takes*, the readers take their requests.
    """
    return explored(World(), lambda world: _successors(world, protocol, takes))


def _successors(world: World, protocol: Protocol, takes: bool) -> Iterator[World]:
    for number, reader in enumerate(world.readers):
        yield from _reader_steps(world, number, reader, protocol, takes)
        yield from _flights(world, number, reader, protocol)
    yield from _holder_steps(world, protocol)
    yield from _eviction(world, protocol)


def _with_reader(world: World, number: int, reader: Reader, **changes: object) -> World:
    changed = replace(reader, **changes)  # type: ignore[arg-type]
    return replace(world, readers=(*world.readers[:number], changed, *world.readers[number + 1 :]))


def _reader_steps(
    world: World, number: int, reader: Reader, protocol: Protocol, takes: bool
) -> Iterator[World]:
    def to(step: str, **changes: object) -> World:
        return _with_reader(world, number, reader, step=step, **changes)

    publish, look = ("look", "publish") if protocol.looks_before_it_publishes else ("publish", "look")
    match reader.step:
        case "begin" if reader.left:
            yield to(publish, turn=reader.turn + 1, left=reader.left - 1)
        case "publish":
            yield to("find page" if protocol.looks_before_it_publishes else "look", publishes=True)
        case "look" if world.holds:
            yield to("leave")
        case "look":
            yield to("publish" if look == "publish" or protocol.looks_before_it_publishes else "find page")
        case "find page" if world.table_page is None:
            yield to("leave")
        case "find page":
            yield to("find entry", page=world.table_page)
        case "find entry":
            assert reader.page is not None
            entry = world.pages[reader.page]
            begin = "leave to count" if protocol.counts_after_it_leaves else "count"
            yield to("leave" if entry is None else begin if takes else "transfer", entry=entry)
        case "leave to count":
            yield to("count", publishes=False)
        case "count":
            yield replace(to("take"), taken=world.taken + 1)
        case "take":
            taking = to("leave", flights=(*reader.flights, reader.entry))
            yield replace(taking, taken=world.taken - protocol.counts_down_too_early)
        case "transfer" if reader.entry != world.place:
            yield _wrong(world, number, reader.entry)
        case "transfer":
            yield to("leave")
        case "leave":
            yield to("begin", publishes=False, turn=reader.turn + 1, page=None, entry=None)


def _wrong(world: World, number: int, entry: int | None) -> World:
    return replace(world, wrong=f"reader {number} used place {entry}: the block is at {world.place}")


def _flights(world: World, number: int, reader: Reader, protocol: Protocol) -> Iterator[World]:
    """Transfer the data of a taken request, at any time; then let the reader complete it."""
    for which, entry in enumerate(reader.flights):
        before, after = reader.flights[:which], reader.flights[which + 1 :]
        if entry is not None and entry != world.place:
            yield _wrong(world, number, entry)
        elif entry is not None:
            yield _with_reader(world, number, reader, flights=(*before, None, *after))
        elif reader.step == "begin":
            completed = _with_reader(world, number, reader, flights=(*before, *after))
            yield replace(completed, taken=world.taken - (not protocol.counts_down_too_early))


def _answers(world: World, protocol: Protocol) -> list[bool]:
    """Return what the holder finds if it asks now, question by question; it waits for each to be true."""
    last = 1 if protocol.waits_for_the_first_reader_only else READERS
    readers = [not reader.publishes for reader in world.readers[:last]]
    taken = [] if protocol.waits_for_readers_only else [world.taken == 0]
    return [*taken, *readers] if protocol.asks_for_taken_requests_first else [*readers, *taken]


def _holder_steps(world: World, protocol: Protocol) -> Iterator[World]:
    answers = _answers(world, protocol)
    match world.holder:
        case "begin" if world.left:
            yield replace(
                world, holder="ask" if protocol.asks_before_it_holds else "hold", left=world.left - 1
            )
        case "hold":
            yield replace(
                world, holds=world.holds + 1, holder="change" if protocol.asks_before_it_holds else "ask"
            )
        case "ask" if world.asked == len(answers):
            yield replace(world, asked=0, holder="hold" if protocol.asks_before_it_holds else "change")
        case "ask" if answers[world.asked]:
            yield replace(world, asked=world.asked + 1)
        case "change":
            after = "release" if protocol.learns_after_release else "forget"
            yield replace(world, place=world.place + 1, holder=after)
        case "forget":
            pages = world.pages
            if world.table_page is not None:
                pages = tuple(
                    None if page == world.table_page else entry for page, entry in enumerate(world.pages)
                )
            yield replace(world, pages=pages, holder="learn")
        case "learn":
            pages = world.pages
            if world.table_page is not None:
                pages = tuple(
                    world.place if page == world.table_page else entry for page, entry in enumerate(pages)
                )
            yield replace(world, pages=pages, holder="end" if protocol.learns_after_release else "release")
        case "release":
            yield replace(
                world, holds=world.holds - 1, holder="forget" if protocol.learns_after_release else "end"
            )
        case "end":
            yield replace(world, holder="begin")


def _eviction(world: World, protocol: Protocol) -> Iterator[World]:
    """Take block 0's page from its table, and use it for others when no reader can look into it."""
    if world.table_page is not None and world.retired is None and world.holder == "begin":
        turns = tuple(reader.turn for reader in world.readers)
        yield replace(world, table_page=None, retired=(world.table_page, turns))
    if world.retired is not None and world.table_page is None:
        page, turns = world.retired
        quiet = all(
            not then % 2 or reader.turn != then for then, reader in zip(turns, world.readers, strict=True)
        )
        if (quiet or protocol.reuses_pages_at_once) and world.pages[page] != OTHERS_PLACE:
            pages = tuple(OTHERS_PLACE if each == page else entry for each, entry in enumerate(world.pages))
            yield replace(world, pages=pages)
