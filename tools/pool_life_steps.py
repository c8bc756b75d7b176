"""What a pool lives through for ``record_pool_life.py``: sections of steps, each on fresh devices.

A step is a verb and what it takes. ``{data}``, ``{metadata}``, ``{disk}`` are devices of ``MIB`` MiB.
"""

from typing import Any

BLOCK = 65536
MIB = {"data": 4, "metadata": 4, "disk": 2}

Step = dict[str, Any]


def pool_line(rest: str = "0 0", blocks: int = 64) -> str:
    return f"0 {blocks * 128} thin-pool {{metadata}} {{data}} 128 {rest}"


def thin_line(thin_id: int | str, blocks: int = 128, pool: str = "/dev/mapper/pool") -> str:
    return f"0 {blocks * 128} thin {pool} {thin_id}"


def create(name: str, table: str) -> Step:
    return {"act": "create", "name": name, "table": table}


def load(name: str, table: str) -> Step:
    return {"act": "load", "name": name, "table": table}


def suspend(name: str, **flags: bool) -> Step:
    return {"act": "suspend", "name": name, **flags}


def verb(act: str, name: str) -> Step:
    return {"act": act, "name": name}


def resume(name: str) -> Step:
    return verb("resume", name)


def message(text: str, name: str = "pool") -> Step:
    return {"act": "message", "name": name, "text": text}


def status(name: str = "pool") -> Step:
    return verb("status", name)


def write(name: str, block: float, count: float = 1, byte: int = 1) -> Step:
    return {
        "act": "write",
        "name": name,
        "offset": int(block * BLOCK),
        "length": int(count * BLOCK),
        "byte": byte,
    }


def discard(name: str, block: float, count: float = 1) -> Step:
    return {"act": "discard", "name": name, "offset": int(block * BLOCK), "length": int(count * BLOCK)}


def flush(name: str) -> Step:
    return verb("flush", name)


def content(name: str) -> Step:
    return verb("content", name)


def begin(task: str, step: Step) -> Step:
    return {**step, "task": task}


def end(task: str) -> Step:
    return {"act": "end", "task": task}


def sleep(seconds: float) -> Step:
    return {"act": "sleep", "seconds": seconds}


def grow(device: str, mib: int) -> Step:
    return {"act": "grow", "device": device, "mib": mib}


def fails(device: str, what: str) -> Step:
    """*what*: nothing, writes, all."""
    return {"act": "fails", "device": device, "what": what}


def timeout(seconds: int) -> Step:
    return {"act": "timeout", "seconds": seconds}


def reload(table: str) -> list[Step]:
    return [load("pool", table), resume("pool"), status()]


def start(rest: str = "0 0", *ids: int) -> list[Step]:
    steps = [create("pool", pool_line(rest))]
    for thin_id in ids:
        steps += [message(f"create_thin {thin_id}"), create(f"t{thin_id}", thin_line(thin_id))]
    return steps


SECTIONS: dict[str, list[Step]] = {
    "writes wait for space until the timeout": [
        timeout(20),
        *start("4 0", 1),
        write("t1", 0, 56),
        write("t1", 56, 4),
        begin("w", write("t1", 60, 10, 2)),
        sleep(1.5),
        sleep(22),
        end("w"),
        write("t1", 100),
        write("t1", 5),
        content("t1"),
        discard("t1", 0, 8),
        status(),
        write("t1", 100),
        status(),
        begin("w", write("t1", 101, 20, 3)),
        sleep(1),
        suspend("pool"),
        sleep(22),
        resume("pool"),
        sleep(1),
        sleep(22),
        end("w"),
        suspend("pool"),
        resume("pool"),
        status(),
        *reload(pool_line("4 0")),
        write("t1", 121),
        timeout(60),
    ],
    "a pool without space is suspended and loaded anew": [
        *start("0 0", 1),
        write("t1", 0, 64),
        begin("w", write("t1", 64, 4, 2)),
        sleep(1.5),
        suspend("pool"),
        resume("pool"),
        sleep(0.5),
        *reload(pool_line()),
        sleep(0.5),
        discard("t1", 0, 2),
        sleep(2.5),
        status(),
        discard("t1", 10, 4),
        sleep(2.5),
        end("w"),
        status(),
        content("t1"),
    ],
    "held writes are given back by a suspend without flush": [
        *start("0 0", 1),
        write("t1", 0, 64),
        begin("w", write("t1", 64, 4, 2)),
        sleep(1.5),
        suspend("t1", noflush=True),
        grow("data", 6),
        load("pool", pool_line(blocks=96)),
        resume("pool"),
        status(),
        resume("t1"),
        end("w"),
        status(),
        content("t1"),
    ],
    "held writes of a pool that becomes read-only": [
        *start("0 0", 1),
        write("t1", 0, 64),
        begin("w", write("t1", 64, 4, 2)),
        sleep(1.5),
        load("pool", pool_line("0 1 read_only")),
        resume("pool"),
        end("w"),
        status(),
        write("t1", 64),
    ],
    "a pool that errors without space": [
        *start("2 1 error_if_no_space", 1, 2),
        write("t1", 0, 60),
        write("t1", 60, 10, 2),
        status(),
        write("t1", 3, 1, 9),
        write("t1", 80),
        flush("t1"),
        flush("t2"),
        write("t2", 0),
        content("t1"),
        *reload(pool_line("2 0")),
        suspend("t2"),
        message("create_snap 3 2"),
        resume("t2"),
        message("create_snap 4 1"),
        verb("remove", "t1"),
        message("delete 4"),
        status(),
        message("delete 1"),
        status(),
        write("t2", 0, 3),
        status("t2"),
        status(),
    ],
    "a read-only pool": [
        *start("0 0", 1, 2),
        write("t1", 0, 8),
        flush("t1"),
        *reload(pool_line("0 1 read_only")),
        write("t1", 2, 2, 7),
        write("t1", 20),
        write("t1", 6, 4, 8),
        flush("t1"),
        flush("t2"),
        discard("t1", 0, 8),
        message("create_thin 9"),
        message("nonsense"),
        content("t1"),
        suspend("pool"),
        resume("pool"),
        status(),
        verb("table", "pool"),
        *reload(pool_line("0 1 error_if_no_space")),
        message("create_thin 9"),
        discard("t1", 0, 1.5),
        status("t1"),
        *reload(pool_line("0 2 read_only error_if_no_space")),
        verb("remove", "t1"),
        verb("remove", "t2"),
        verb("remove", "pool"),
        create("pool", pool_line("0 1 read_only")),
        status(),
        create("t1", thin_line(1)),
        write("t1", 40),
        content("t1"),
    ],
    "a read-only pool on devices that grew": [
        *start("0 0", 1),
        write("t1", 0, 8),
        grow("data", 6),
        grow("metadata", 5),
        *reload(pool_line("0 1 read_only")),
        load("pool", pool_line("0 1 read_only", blocks=96)),
        resume("pool"),
        status(),
        write("t1", 20),
        *reload(pool_line("0 0", blocks=96)),
        write("t1", 20),
    ],
    "a read-only pool whose data device grew": [
        *start("0 0", 1),
        write("t1", 0, 8),
        grow("data", 6),
        load("pool", pool_line("0 1 read_only", blocks=80)),
        resume("pool"),
        status(),
        write("t1", 20),
        *reload(pool_line("0 0", blocks=80)),
        write("t1", 20),
        status(),
    ],
    "growth": [
        *start("0 0", 1),
        write("t1", 0, 8),
        grow("data", 8),
        status(),
        *reload(pool_line(blocks=128)),
        grow("metadata", 6),
        status(),
        suspend("pool"),
        resume("pool"),
        status(),
        load("pool", pool_line(blocks=100)),
        resume("pool"),
        status(),
        load("pool", pool_line(blocks=129)),
        resume("pool"),
        status(),
        verb("table", "pool"),
        {"act": "info", "name": "pool"},
        *reload(pool_line(blocks=128)),
        write("t1", 0, 110),
        status(),
        verb("table", "pool"),
    ],
    "metadata that can't be written": [
        *start("0 0", 1),
        write("t1", 0, 8),
        flush("t1"),
        fails("metadata", "writes"),
        write("t1", 8, 2),
        status(),
        status("t1"),
        write("t1", 0),
        write("t1", 30),
        flush("t1"),
        message("create_thin 2"),
        verb("table", "t1"),
        fails("metadata", "nothing"),
        *reload(pool_line()),
        suspend("pool"),
        resume("pool"),
        write("t1", 1),
        discard("t1", 0, 4),
        content("t1"),
        verb("remove", "t1"),
        verb("remove", "pool"),
        create("pool", pool_line()),
        status(),
        create("t1", thin_line(1)),
        status("t1"),
        content("t1"),
    ],
    "metadata that is gone": [
        *start("0 0", 1),
        write("t1", 0, 8),
        flush("t1"),
        fails("metadata", "all"),
        write("t1", 8, 2),
        status(),
        status(),
        status("t1"),
        write("t1", 0),
        flush("t1"),
        discard("t1", 0, 4),
        message("create_thin 2"),
        verb("table", "t1"),
        verb("table", "pool"),
        create("t2", thin_line(1)),
        fails("metadata", "nothing"),
        status(),
        suspend("pool"),
        resume("pool"),
        *reload(pool_line()),
        verb("remove", "t1"),
        verb("remove", "pool"),
        create("pool", pool_line()),
        status(),
        create("t1", thin_line(1)),
        status("t1"),
    ],
    "data that can't be written": [
        *start("0 0", 1),
        write("t1", 0, 4),
        message("create_snap 2 1"),
        create("t2", thin_line(2)),
        status(),
        fails("data", "writes"),
        write("t1", 0, 0.5, 5),
        write("t1", 1, 1, 5),
        write("t1", 10, 1, 5),
        write("t1", 11, 0.5, 5),
        status("t1"),
        fails("data", "nothing"),
        status(),
        status("t1"),
        content("t1"),
        write("t1", 0, 0.5, 6),
        status("t1"),
        status(),
    ],
    "data that can't be written, without zeroing": [
        *start("0 1 skip_block_zeroing", 1),
        write("t1", 0, 4),
        status(),
        fails("data", "writes"),
        write("t1", 10, 1, 5),
        write("t1", 11, 0.5, 5),
        status("t1"),
        fails("data", "nothing"),
        status(),
        status("t1"),
        content("t1"),
    ],
    "metadata runs out": [
        {"act": "shrink", "device": "metadata", "mib": 0.25},
        *start("0 0", 1),
        *[step for number in range(2, 60) for step in (message(f"create_thin {number}"),)],
        status(),
        write("t1", 0, 4),
        status(),
        suspend("pool"),
        resume("pool"),
        status(),
        verb("remove", "t1"),
        verb("remove", "pool"),
        create("pool", pool_line()),
        status(),
        *reload(pool_line()),
        message("delete 2"),
        {"act": "grow", "device": "metadata", "mib": 0.5},
        suspend("pool"),
        resume("pool"),
        status(),
        message("delete 2"),
        status(),
    ],
    "an external origin": [
        *start("0 0", 1),
        {"act": "fill", "device": "disk"},
        create("ext", thin_line("2 {disk}", 48)),
        message("create_thin 2"),
        create("ext", thin_line("2 {disk}", 48)),
        content("ext"),
        write("ext", 1, 0.5, 5),
        write("ext", 4.25, 0.25, 6),
        write("ext", 31.5, 2, 7),
        write("ext", 40.5, 0.25, 8),
        content("ext"),
        discard("ext", 0, 8),
        content("ext"),
        suspend("ext"),
        message("create_snap 3 2"),
        resume("ext"),
        create("extsnap", thin_line("3 {disk}", 48)),
        write("extsnap", 9.5, 0.25, 9),
        content("extsnap"),
        create("bare", thin_line(3, 48)),
        content("bare"),
        verb("table", "ext"),
        status("ext"),
        grow("disk", 3),
        content("ext"),
        suspend("ext"),
        resume("ext"),
        content("ext"),
        status(),
    ],
    "an external origin that is a thin device of the same pool": [
        *start("0 0", 1),
        write("t1", 0, 12, 3),
        message("create_thin 2"),
        create("ext", thin_line("2 /dev/mapper/t1")),
        content("ext"),
        write("ext", 1, 0.5, 5),
        write("ext", 3, 2, 6),
        write("ext", 11.5, 1, 7),
        content("ext"),
        content("t1"),
        status("ext"),
        status(),
    ],
    "names and numbers": [
        *start("0 0", 1),
        {"act": "rename", "name": "t1", "to": "thin"},
        {"act": "rename", "name": "pool", "to": "pond"},
        {"act": "rename", "name": "pond", "to": "pool"},
        {"act": "rename", "name": "thin", "to": "t1"},
        create("t2", thin_line("16777216")),
        create("t2", thin_line("99 /dev/nowhere")),
        create("t2", thin_line("x /dev/nowhere")),
        create("t2", thin_line("x", pool="/dev/nowhere")),
        create("t2", thin_line("1", pool="{disk}")),
        create("t2", thin_line("77")),
        suspend("pool"),
        create("t2", thin_line("77")),
        create("t2", thin_line("1")),
        resume("pool"),
        create("other", "0 8192 thin-pool /dev/nowhere {data} 100 0"),
        create("other", "0 8192 thin-pool {disk} /dev/nowhere 100 0"),
        create("other", "0 8192 thin-pool {disk} {data} 100 x"),
        create("other", "0 8192 thin-pool {disk} {data} 128 x"),
        create("other", "0 8192 thin-pool {metadata} {disk} 128 0"),
        load("pool", "0 4096 thin-pool {metadata} {disk} 128 0"),
        load("pool", "0 8192 thin-pool {disk} {data} 128 0"),
        load("pool", pool_line("0 1 ignore_discard")),
        load("pool", "0 8192 thin-pool {metadata} {data} 256 7"),
        resume("pool"),
        verb("table", "pool"),
        load("pool", "0 8192 linear {disk} 0"),
        load("pool", "0 4096 linear {disk} 0"),
    ],
    "ignored discards": [
        *start("0 1 ignore_discard", 1),
        write("t1", 0, 4),
        discard("t1", 0, 4),
        discard("pool", 0, 4),
        status(),
        status("t1"),
    ],
    "a metadata snapshot": [
        *start("0 0", 1),
        write("t1", 0, 8),
        message("reserve_metadata_snap"),
        status(),
        write("t1", 4, 8, 2),
        status(),
        discard("t1", 0, 6),
        status(),
        verb("remove", "t1"),
        message("delete 1"),
        status(),
        message("reserve_metadata_snap"),
        verb("remove", "pool"),
        create("pool", pool_line()),
        status(),
        message("release_metadata_snap"),
        status(),
        message("release_metadata_snap"),
    ],
    "a thin device of a suspended pool": [
        *start("0 0", 1, 2),
        suspend("t2"),
        suspend("pool"),
        begin("s", suspend("t1")),
        begin("r", resume("t2")),
        sleep(1),
        {"act": "info", "name": "t1"},
        {"act": "info", "name": "t2"},
        resume("pool"),
        end("s"),
        end("r"),
        {"act": "info", "name": "t1"},
        {"act": "info", "name": "t2"},
    ],
}
