"""What a pool lives through: transactions that can't be committed, and what is remembered of them."""

from pool_life_steps import (
    Step,
    content,
    create,
    discard,
    fails,
    flush,
    message,
    pool_line,
    resume,
    shrink,
    start,
    status,
    suspend,
    thin_line,
    verb,
    write,
)


def look(name: str) -> list[Step]:
    """Everything that can be asked of a thin device."""
    return [status(name), content(name), write(name, 0), write(name, 20), flush(name), discard(name, 0, 2)]


AFTERWARDS: list[Step] = [
    verb("remove", "t1"),
    verb("remove", "pool"),
    create("pool", pool_line()),
    status(),
    create("t1", thin_line(1)),
    create("t2", thin_line(2)),
    status("t1"),
    content("t1"),
]


def losing(*steps: Step) -> list[Step]:
    """A pool with two devices, of which one is active, loses *steps*."""
    return [
        *start("0 0", 1),
        message("create_thin 7"),
        write("t1", 0, 4),
        flush("t1"),
        fails("metadata", "writes"),
        *steps,
    ]


SECTIONS: dict[str, list[Step]] = {
    "a transaction id that is lost": [
        *losing(message("set_transaction_id 0 5"), status()),
        message("set_transaction_id 5 6"),
        *look("t1"),
        fails("metadata", "nothing"),
        status(),
        *AFTERWARDS,
    ],
    "a thin id that is lost": [
        *losing(message("create_thin 2"), status()),
        create("t2", thin_line(2)),
        *look("t2"),
        create("again", thin_line(2)),
        verb("table", "t2"),
        suspend("t2"),
        resume("t2"),
        verb("remove", "again"),
        verb("remove", "t2"),
        create("t2", thin_line(2)),
        status("t2"),
        verb("remove", "t2"),
        *look("t1"),
        message("create_thin 2"),
        message("delete 2"),
        fails("metadata", "nothing"),
        *AFTERWARDS,
    ],
    "a thin id with an external origin that is lost": [
        *losing(message("create_thin 2"), status()),
        create("ext", thin_line("2 {disk}", 48)),
        *look("ext"),
        verb("table", "ext"),
        verb("remove", "ext"),
        *AFTERWARDS,
    ],
    "a snapshot that is lost": [
        *losing(suspend("t1"), message("create_snap 2 1"), resume("t1"), status()),
        create("t2", thin_line(2)),
        *look("t2"),
        *look("t1"),
        create("t7", thin_line(7)),
        *look("t7"),
        verb("remove", "t7"),
        verb("remove", "t2"),
        fails("metadata", "nothing"),
        *AFTERWARDS,
    ],
    "a deletion that is lost": [
        *losing(message("delete 7"), status()),
        create("t7", thin_line(7)),
        *look("t7"),
        verb("remove", "t7"),
        *look("t1"),
        fails("metadata", "nothing"),
        *AFTERWARDS,
    ],
    "a metadata snapshot that is lost": [
        *losing(message("reserve_metadata_snap"), status()),
        message("release_metadata_snap"),
        *look("t1"),
        fails("metadata", "nothing"),
        *AFTERWARDS,
    ],
    "a release that is lost": [
        *start("0 0", 1),
        write("t1", 0, 4),
        message("reserve_metadata_snap"),
        status(),
        fails("metadata", "writes"),
        message("release_metadata_snap"),
        status(),
        message("reserve_metadata_snap"),
        *look("t1"),
        fails("metadata", "nothing"),
        *AFTERWARDS,
    ],
    "a discard that is lost": [
        *losing(discard("t1", 0, 2), status()),
        *look("t1"),
        fails("metadata", "nothing"),
        *AFTERWARDS,
    ],
    "metadata of twelve blocks": [
        shrink("metadata", 0.046875),
        *start("0 0"),
        status(),
        message("create_thin 1"),
        status(),
        create("t1", thin_line(1)),
        *look("t1"),
        message("create_thin 2"),
        suspend("t1"),
        resume("t1"),
        verb("table", "t1"),
        verb("remove", "t1"),
        create("t1", thin_line(1)),
        create("t2", thin_line(2)),
        *AFTERWARDS,
    ],
    "metadata of thirteen blocks": [
        shrink("metadata", 0.05078125),
        *start("0 0", 1),
        write("t1", 0, 2),
        status(),
        message("create_thin 2"),
        status(),
        *look("t1"),
        *AFTERWARDS,
    ],
}
