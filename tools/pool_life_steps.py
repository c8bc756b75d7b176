"""A `LifeStep` is one step of the sections that ``record_pool_life.py`` records; the functions return them.

A step is a verb with its arguments. ``{data}``, ``{metadata}``, ``{disk}`` are devices of ``MIB`` MiB.
"""

from typing import Any

BLOCK = 65536
MIB = {"data": 4, "metadata": 4, "disk": 2}

LifeStep = dict[str, Any]


def pool_line(rest: str = "0 0", blocks: int = 64) -> str:
    return f"0 {blocks * 128} thin-pool {{metadata}} {{data}} 128 {rest}"


def thin_line(thin_id: int | str, blocks: int = 128, pool: str = "/dev/mapper/pool") -> str:
    return f"0 {blocks * 128} thin {pool} {thin_id}"


def create(name: str, table: str) -> LifeStep:
    return {"act": "create", "name": name, "table": table}


def load(name: str, table: str) -> LifeStep:
    return {"act": "load", "name": name, "table": table}


def suspend(name: str, **flags: bool) -> LifeStep:
    return {"act": "suspend", "name": name, **flags}


def verb(act: str, name: str) -> LifeStep:
    return {"act": act, "name": name}


def resume(name: str) -> LifeStep:
    return verb("resume", name)


def message(text: str, name: str = "pool") -> LifeStep:
    return {"act": "message", "name": name, "text": text}


def status(name: str = "pool") -> LifeStep:
    return verb("status", name)


def write(name: str, block: float, count: float = 1, byte: int = 1) -> LifeStep:
    return {
        "act": "write",
        "name": name,
        "offset": int(block * BLOCK),
        "length": int(count * BLOCK),
        "byte": byte,
    }


def discard(name: str, block: float, count: float = 1) -> LifeStep:
    return {"act": "discard", "name": name, "offset": int(block * BLOCK), "length": int(count * BLOCK)}


def flush(name: str) -> LifeStep:
    return verb("flush", name)


def content(name: str) -> LifeStep:
    return verb("content", name)


def unlooked(step: LifeStep) -> LifeStep:
    """Return *step* without a look at the pool after it, since the pool is about to change by itself."""
    return {**step, "look": False}


def begin(task: str, step: LifeStep) -> LifeStep:
    return {**step, "task": task}


def end(task: str, within: float = 30) -> LifeStep:
    """Return a step that waits for *task*; a task that has not ended *within* seconds hangs."""
    return {"act": "end", "task": task} | ({} if within == 30 else {"within": within})


def sleep(seconds: float) -> LifeStep:
    return {"act": "sleep", "seconds": seconds}


def grow(device: str, mib: float) -> LifeStep:
    return {"act": "grow", "device": device, "mib": mib}


def shrink(device: str, mib: float) -> LifeStep:
    return {"act": "shrink", "device": device, "mib": mib}


def fails(device: str, what: str) -> LifeStep:
    """Return a step that lets requests to *device* fail: *what* is ``nothing``, ``writes`` or ``all``."""
    return {"act": "fails", "device": device, "what": what}


def timeout(seconds: int) -> LifeStep:
    return {"act": "timeout", "seconds": seconds}


def reload(table: str) -> list[LifeStep]:
    return [load("pool", table), resume("pool"), status()]


def start(rest: str = "0 0", *ids: int) -> list[LifeStep]:
    steps = [create("pool", pool_line(rest))]
    for thin_id in ids:
        steps += [message(f"create_thin {thin_id}"), create(f"t{thin_id}", thin_line(thin_id))]
    return steps
