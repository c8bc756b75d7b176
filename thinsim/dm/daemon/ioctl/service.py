"""An `IoctlService` carries out /dev/mapper/control's ioctls on mapped devices (drivers/md/dm-ioctl.c)."""

import errno
from collections.abc import Awaitable, Callable, Sequence

from thinsim.dm.daemon.ioctl import payload
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.dm.names import check_name
from thinsim.dm.packet import HEAD_SIZE, VERSION, Command, Flag, Packet
from thinsim.dm.text import TableLine
from thinsim.errors import DeviceMapperError, InvalidValueError

_Handler = Callable[[Packet], Awaitable[None]]
_MAX_UUID = 128
LOOP_MAJOR = 7


class IoctlService:
    """An `IoctlService` turns a request packet into its reply, in place."""

    def __init__(self, dm: LocalDeviceMapper) -> None:
        self._dm = dm
        self._versions = [(each.name, each.version) for each in dm.target_types]
        self._handlers: dict[int, _Handler] = {
            Command.VERSION: self._version,
            Command.REMOVE_ALL: self._remove_all,
            Command.LIST_DEVICES: self._list_devices,
            Command.DEV_CREATE: self._create,
            Command.DEV_REMOVE: self._remove,
            Command.DEV_RENAME: self._rename,
            Command.DEV_SUSPEND: self._suspend_or_resume,
            Command.DEV_STATUS: self._device_status,
            Command.DEV_WAIT: self._wait,
            Command.TABLE_LOAD: self._load,
            Command.TABLE_CLEAR: self._clear,
            Command.TABLE_DEPS: self._dependencies,
            Command.TABLE_STATUS: self._table_status,
            Command.LIST_VERSIONS: self._list_versions,
            Command.TARGET_MSG: self._message,
            Command.DEV_SET_GEOMETRY: self._set_geometry,
            Command.DEV_ARM_POLL: self._arm_poll,
            Command.GET_TARGET_VERSION: self._target_version,
        }

    async def handle(self, command: int, packet: Packet) -> None:
        """Carry out *command*. DeviceMapperError has the ioctl's errno, ENOTTY for an unknown command."""
        handler = self._handlers.get(command)
        if handler is None:
            raise DeviceMapperError(errno.ENOTTY, f"device-mapper has no ioctl {command}")
        if packet.version[0] != VERSION[0] or packet.version[1] > VERSION[1]:
            raise DeviceMapperError(
                errno.EINVAL, f"the interface has version {VERSION}, not {packet.version}"
            )
        packet.version = VERSION
        packet.flags &= ~(Flag.BUFFER_FULL | Flag.UEVENT_GENERATED)
        try:
            await handler(packet)
        except InvalidValueError as error:
            raise DeviceMapperError(errno.EINVAL, str(error)) from error

    # Commands without a device.

    async def _version(self, packet: Packet) -> None:
        packet.data = b""

    async def _list_devices(self, packet: Packet) -> None:
        listed = []
        for name in sorted(self._dm.devices, key=lambda each: each.encode("utf-8", "surrogateescape")):
            device = self._dm.devices[name]
            listed.append(payload.ListedDevice(name, device.number, device.event_nr))
        self._answer(packet, payload.names(listed, packet.room))

    async def _list_versions(self, packet: Packet) -> None:
        self._answer(packet, payload.versions(self._versions, packet.room))

    async def _target_version(self, packet: Packet) -> None:
        known = [entry for entry in self._versions if entry[0] == packet.name]
        if not known:
            raise DeviceMapperError(errno.EINVAL, f"unknown target type {packet.name!r}")
        self._answer(packet, payload.versions(known, packet.room))

    async def _remove_all(self, packet: Packet) -> None:
        deferred = packet.has(Flag.DEFERRED_REMOVE)
        removed = True
        while removed:
            removed = False
            for device in list(self._dm.devices.values()):
                try:
                    await self._dm.remove_device(device, deferred=deferred)
                except DeviceMapperError:
                    continue
                removed = removed or self._dm.devices.get(device.name) is not device
        packet.data = b""

    # Commands on a device.

    async def _create(self, packet: Packet) -> None:
        check_name(packet.name)
        minor = packet.number[1] if packet.has(Flag.PERSISTENT_DEV) else None
        device = await self._dm.add(packet.name, packet.uuid, minor=minor)
        packet.put(Flag.INACTIVE_PRESENT, False)
        await self._describe(packet, device)

    async def _remove(self, packet: Packet) -> None:
        device = self._find(packet)
        await self._dm.remove_device(device, deferred=packet.has(Flag.DEFERRED_REMOVE))
        packet.put(Flag.UEVENT_GENERATED, self._dm.devices.get(device.name) is not device)
        packet.data = b""

    async def _rename(self, packet: Packet) -> None:
        new = payload.parse_string(packet.data)
        if packet.has(Flag.UUID):
            if not new or len(new.encode("utf-8", "surrogateescape")) > _MAX_UUID:
                raise DeviceMapperError(errno.EINVAL, "Invalid new mapped device name or uuid string")
            device = self._find(packet)
            self._dm.devices.give_uuid(device, new)
        else:
            check_name(new)
            self._dm.devices.check_free(new)
            device = self._dm.devices.find(packet.name)  # by its name only (dm_hash_rename)
            await self._dm.rename(device, new)
            packet.put(Flag.UEVENT_GENERATED, True)
        packet.data = b""

    async def _suspend_or_resume(self, packet: Packet) -> None:
        device = self._find(packet)
        lock_fs = not packet.flags & (Flag.SKIP_LOCKFS | Flag.NOFLUSH)
        noflush = packet.has(Flag.NOFLUSH)
        if packet.has(Flag.SUSPEND):
            await self._dm.suspend_device(device, lock_fs=lock_fs, noflush=noflush)
        else:
            swapped = device.inactive is not None or device.suspended
            await self._dm.resume_device(device, lock_fs=lock_fs, noflush=noflush)
            packet.put(Flag.UEVENT_GENERATED, swapped)
        packet.put(Flag.INACTIVE_PRESENT, device.inactive is not None)
        await self._describe(packet, device)

    async def _device_status(self, packet: Packet) -> None:
        await self._describe(packet, self._find(packet))

    async def _wait(self, packet: Packet) -> None:
        device = self._find(packet)
        event_nr = await device.wait_event(packet.event_nr)
        await self._describe(packet, device)
        packet.event_nr = event_nr
        await self._put_lines(packet, device)

    # Commands on a device's tables.

    async def _load(self, packet: Packet) -> None:
        device = self._find(packet)
        if not packet.target_count:
            raise DeviceMapperError(errno.EINVAL, "populate_table: no targets specified")
        lines = [
            TableLine(segment.start, segment.length, segment.kind, segment.text)
            for segment in payload.parse_segments(packet.data, packet.target_count)
        ]
        await self._dm.load_lines(device, lines, read_only=packet.has(Flag.READONLY))
        packet.put(Flag.INACTIVE_PRESENT, True)
        await self._describe(packet, device)

    async def _clear(self, packet: Packet) -> None:
        device = self._find(packet)
        await self._dm.clear(device)
        packet.put(Flag.INACTIVE_PRESENT, False)
        await self._describe(packet, device)

    async def _dependencies(self, packet: Packet) -> None:
        if packet.number[0] == LOOP_MAJOR and not any(
            each.number == packet.number for each in self._dm.devices.values()
        ):
            # libdm takes each device with this major for a mapped one; plain loop devices have no table.
            packet.data_start = HEAD_SIZE
            self._answer(packet, payload.dependencies((), packet.room))
            return
        device = self._find(packet)
        await self._describe(packet, device)
        table = device.inactive if packet.has(Flag.QUERY_INACTIVE_TABLE) else device.live
        numbers: list[tuple[int, int]] = []
        for target in table.targets if table is not None else ():
            numbers.extend(number for number in target.depends_on if number not in numbers)
        if table is not None:
            # The kernel adds each new device to the head of its list (dm-table.c, dm_get_device).
            self._answer(packet, payload.dependencies(numbers[::-1], packet.room))

    async def _table_status(self, packet: Packet) -> None:
        device = self._find(packet)
        await self._describe(packet, device)
        await self._put_lines(packet, device)

    async def _message(self, packet: Packet) -> None:
        device = self._find(packet)
        sector, text = payload.parse_message(packet.data)
        if not text.split():
            raise DeviceMapperError(errno.EINVAL, "Empty message received.")
        if text.split()[0].startswith("@"):
            await self._core_message(device, text.split())
        else:
            await self._dm.message(device.name, sector, text)
        packet.put(Flag.DATA_OUT, False)
        await self._describe(packet, device)

    async def _core_message(self, device: MappedDevice, words: Sequence[str]) -> None:
        if words[0] == "@cancel_deferred_remove" and len(words) == 1:
            device.deferred_remove = False
            return
        if words == ["@stats_list"]:
            return  # the list is empty: regions are not implemented
        raise DeviceMapperError(errno.EINVAL, f"Unsupported message sent to DM core: {words[0]}")

    async def _set_geometry(self, packet: Packet) -> None:
        device = self._find(packet)
        words = payload.parse_string(packet.data).split()
        if len(words) != 4 or not all(word.isdigit() for word in words):
            raise DeviceMapperError(errno.EINVAL, "Unable to interpret geometry settings.")
        cylinders, heads, sectors, _ = map(int, words)
        if cylinders > 65535 or heads > 255 or sectors > 255:
            raise DeviceMapperError(errno.EINVAL, "Geometry exceeds range limits.")
        await self._describe(packet, device)
        packet.data = b""

    async def _arm_poll(self, packet: Packet) -> None:
        packet.data = b""

    # Parts of replies.

    def _find(self, packet: Packet) -> MappedDevice:
        """Find the device by exactly one of uuid, name and number (find_device); fill in the others."""
        named, numbered = bool(packet.name), packet.number != (0, 0)
        if packet.uuid and not named and not numbered:
            device = self._dm.devices.by_uuid(packet.uuid)
        elif named and not packet.uuid and not numbered:
            # A name, not a path: dmsetup has stripped the directory.
            device = self._dm.devices.find(packet.name)
        elif numbered and not packet.uuid and not named:
            device = self._dm.devices.by_number(packet.number)
        else:
            raise DeviceMapperError(errno.ENXIO, "name the device by exactly one of name, uuid and number")
        packet.name, packet.uuid = device.name, device.uuid
        packet.put(Flag.INACTIVE_PRESENT, device.inactive is not None)
        return device

    async def _describe(self, packet: Packet, device: MappedDevice) -> None:
        """Fill in the fields of each reply about a device, and clear the data (__dev_status)."""
        info = await self._dm.info_of(device)
        inactive = packet.has(Flag.QUERY_INACTIVE_TABLE)
        table = device.inactive if inactive else device.live
        packet.put(Flag.SUSPEND, info.suspended)
        packet.put(Flag.INTERNAL_SUSPEND, False)
        packet.put(Flag.DEFERRED_REMOVE, info.deferred_remove)
        packet.put(Flag.ACTIVE_PRESENT, info.live_table)
        read_only = table is not None and table.read_only if inactive else device.read_only
        packet.put(Flag.READONLY, read_only)
        packet.number = device.number
        packet.open_count = info.open_count
        packet.event_nr = info.event_nr
        packet.target_count = len(table.targets) if table is not None else 0
        packet.data = b""

    async def _put_lines(self, packet: Packet, device: MappedDevice) -> None:
        """Answer with status or table texts of the live or the inactive table (retrieve_status)."""
        inactive = packet.has(Flag.QUERY_INACTIVE_TABLE)
        table = device.inactive if inactive else device.live
        if table is None:
            return
        if packet.has(Flag.STATUS_TABLE):
            lines: Sequence[TableLine] = table.lines(lambda target: target.table())
        elif inactive:
            lines = await table.status_lines(flush=False)
        else:
            lines = await self._dm.status_lines(device, noflush=packet.has(Flag.NOFLUSH))
        texts = [payload.Segment(line.start, line.length, line.kind, line.arguments) for line in lines]
        self._answer(packet, payload.segments(texts, packet.room))

    def _answer(self, packet: Packet, data: bytes | None) -> None:
        if data is None:
            packet.put(Flag.BUFFER_FULL, True)
            packet.data = b""
        else:
            packet.data = data
