"""The control socket's commands are the verbs of device-mapper and a few queries that a run needs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, astuple
from typing import Any

from fuse_backing.fuse_uring import DEVICE, Transport
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.errors import KernelError, ThinsimError

VerbHandler = Callable[[dict[str, Any]], Awaitable[object]]


def verb_handlers(dm: LocalDeviceMapper, transport: Transport = DEVICE) -> Mapping[str, VerbHandler]:
    """Return the handlers by command name; a handler takes the verb's arguments by name."""

    async def show_transport(arguments: dict[str, Any]) -> object:
        return asdict(transport)

    async def info(arguments: dict[str, Any]) -> object:
        return asdict(await dm.info(**arguments))

    async def mappings(arguments: dict[str, Any]) -> object:
        found = await dm.pool(**arguments).mappings()
        return {thin_id: [astuple(run) for run in runs] for thin_id, runs in found.items()}

    async def checked(arguments: dict[str, Any]) -> object:
        return await dm.pool(**arguments).check()

    async def traffic(arguments: dict[str, Any]) -> object:
        of = dm.pool(**arguments).plane if arguments else dm.plane
        return asdict(of.traffic())

    async def trace_start(arguments: dict[str, Any]) -> object:
        dm.trace.start(**arguments)
        return None

    async def trace_take(arguments: dict[str, Any]) -> object:
        return [astuple(write) for write in dm.trace.take(**arguments)]

    async def activity_take(arguments: dict[str, Any]) -> object:
        return [astuple(activity) for activity in dm.activity.take(**arguments)]

    plain = {
        name: _verb(getattr(dm, name))
        for name in (
            "create",
            "load",
            "suspend",
            "resume",
            "remove",
            "message",
            "status",
            "table",
            "list",
            "wait",
        )
    }
    return {
        name: _with_errno(command)
        for name, command in {
            **plain,
            "info": info,
            "mappings": mappings,
            "check": checked,
            "traffic": traffic,
            "transport": show_transport,
            "trace-start": trace_start,
            "trace-take": trace_take,
            "activity-take": activity_take,
        }.items()
    }


def _verb(method: Callable[..., Awaitable[object]]) -> VerbHandler:
    async def command(arguments: dict[str, Any]) -> object:
        return await method(**arguments)

    return command


def _with_errno(command: VerbHandler) -> VerbHandler:
    """Wrap *command* so that its refusals become the OSError that the socket can carry."""

    async def guarded(arguments: dict[str, Any]) -> object:
        try:
            return await command(arguments)
        except KernelError as error:
            raise OSError(error.errno, error.args[0]) from error
        except ThinsimError as error:
            raise ValueError(str(error)) from error

    return guarded
