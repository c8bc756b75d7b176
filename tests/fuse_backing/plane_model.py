"""A model of the plane's threads, step by step, explored in every order (fuse_backing/native/plane/plane.h).

Each step is one atomic access or one call that another thread can come before or after. The model has the
sequential consistency that the C code asks for. An `Outcome` names what went wrong, or nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class Reader:
    """A `Reader` serves requests for block 0; *step* is the next one."""

    step: str = "begin"
    left: int = REQUESTS
    publishes: bool = False
    turn: int = 0
    page: int | None = None
    entry: int | None = None


@dataclass(frozen=True, slots=True)
class World:
    """A `World` is one state of all threads and of what they share."""

    readers: tuple[Reader, ...] = (Reader(),) * READERS
    holder: str = "begin"
    left: int = CHANGES
    asked: int = 0
    holds: int = 0
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


def explore(protocol: Protocol) -> tuple[int, str]:
    """Return the number of states that can be reached, and the first wrong one's words, or nothing."""
    first = World()
    seen, open_states = {first}, [first]
    while open_states:
        world = open_states.pop()
        if world.wrong:
            return len(seen), world.wrong
        for after in _successors(world, protocol):
            if after not in seen:
                seen.add(after)
                open_states.append(after)
    return len(seen), ""


def _successors(world: World, protocol: Protocol) -> Iterator[World]:
    for number, reader in enumerate(world.readers):
        yield from _reader_steps(world, number, reader, protocol)
    yield from _holder_steps(world, protocol)
    yield from _eviction(world, protocol)


def _reader_steps(world: World, number: int, reader: Reader, protocol: Protocol) -> Iterator[World]:
    def to(step: str, **changes: object) -> World:
        changed = replace(reader, step=step, **changes)  # type: ignore[arg-type]
        return replace(world, readers=(*world.readers[:number], changed, *world.readers[number + 1 :]))

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
            yield to("leave" if entry is None else "transfer", entry=entry)
        case "transfer" if reader.entry != world.place:
            yield replace(
                world, wrong=f"reader {number} used place {reader.entry}: the block is at {world.place}"
            )
        case "transfer":
            yield to("leave")
        case "leave":
            yield to("begin", publishes=False, turn=reader.turn + 1, page=None, entry=None)


def _holder_steps(world: World, protocol: Protocol) -> Iterator[World]:
    idle: Callable[[int], bool] = lambda number: not world.readers[number].publishes  # noqa: E731
    last = 1 if protocol.waits_for_the_first_reader_only else READERS
    match world.holder:
        case "begin" if world.left:
            yield replace(
                world, holder="ask" if protocol.asks_before_it_holds else "hold", left=world.left - 1
            )
        case "hold":
            yield replace(
                world, holds=world.holds + 1, holder="change" if protocol.asks_before_it_holds else "ask"
            )
        case "ask" if world.asked == last:
            yield replace(world, asked=0, holder="hold" if protocol.asks_before_it_holds else "change")
        case "ask" if idle(world.asked):
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
