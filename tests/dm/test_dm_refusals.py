"""Every implementation of device-mapper refuses bad requests with the same errno and text."""

import errno

import trio

from tests.dm.mappers_under_test import (
    BLOCK,
    POOL,
    POOL_BLOCKS,
    MapperUnderTest,
    about,
    make_pool,
    make_thin,
    pool_table,
    refused,
    thin_table,
)
from thinsim.errors import DeviceMapperError

SECTORS = POOL_BLOCKS * BLOCK // 512

MALFORMED_TABLES = {
    "": "no targets specified",
    "0 100": "Incomplete table line",
    "x 100 thin-pool a b 128 0": "Incomplete table line",
    "0 0 thin-pool {metadata} {data} 128 0": "zero-length target",
    "0 100 linear": "linear: Invalid argument count",
    "0 100 linear /dev/x nowhere": "linear: Invalid device sector",
    "0 100 nonsense /dev/x 0": "unknown target type",
    "0 8 zero\n9 8 zero": "Gap in table",
    "0 8 zero\n8 100 thin-pool {metadata} {data} 128 0": "must appear alone",
    "0 100 thin-pool {metadata} {data} 128": "Invalid argument count",
    "0 100 thin-pool {data} {data} 128 0": "Error setting metadata or data device",
    "0 100 thin-pool {metadata} {data} 128 0 2 read_only": "Invalid number of pool feature arguments",
    "0 100 thin {pool}": "Invalid argument count",
}

# The complaint and its argument, which the kernel does not repeat.
SENSELESS_ARGUMENTS = {
    "0 100 thin-pool {metadata} {data} 100 0": ("Invalid block size", "100"),
    "0 100 thin-pool {metadata} {data} 128 x": ("Invalid low water mark", "x"),
    "0 100 thin-pool {metadata} {data} 128 0 1 fast": ("Unrecognised pool feature requested", "fast"),
    "0 100 thin {pool} 16777216": ("Invalid device id", "16777216"),
}

SENSELESS_MESSAGES = (
    "",
    "   ",
    "trim 1",
    "set_mode read_only",
    "create_thin",
    "create_thin 1 2",
    "create_thin -1",
    "create_thin 0x1",
    "create_thin 16777216",
    "create_snap 1",
    "create_snap 1 x",
    "delete x",
    "set_transaction_id 0",
    "set_transaction_id 1 2",
    "set_transaction_id 0 x",
    "reserve_metadata_snap 1",
    "release_metadata_snap",
)


async def test_a_taken_name_is_busy(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    for name in (POOL, "thin"):
        with refused(errno.EBUSY, f"device {name} (already )?exists"):
            await mapper.dm.create(name, thin_table(1))


async def test_one_of_two_creates_at_once_gets_the_name(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await mapper.dm.message(POOL, 0, "create_thin 1")
    outcomes: list[str] = []

    async def create() -> None:
        try:
            await mapper.dm.create("thin", thin_table(1))
            outcomes.append("made")
        except DeviceMapperError as error:
            outcomes.append(errno.errorcode[error.errno])

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(create)
    assert sorted(outcomes) == ["EBUSY", "EBUSY", "made"]


async def test_every_verb_on_an_unknown_device_is_enxio(mapper: MapperUnderTest) -> None:
    dm = mapper.dm
    for verb in (dm.suspend, dm.resume, dm.remove, dm.status, dm.table, dm.info):
        with refused(errno.ENXIO, "nobody"):
            await verb("nobody")
    with refused(errno.ENXIO):
        await dm.message("nobody", 0, "create_thin 1")
    with refused(errno.ENXIO):
        await dm.wait("nobody", 0)
    with refused(errno.ENXIO):
        await dm.load("nobody", thin_table(1))


async def test_a_malformed_table_is_named(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    names = {
        "metadata": mapper.metadata_dev,
        "data": mapper.data_dev,
        "pool": str(mapper.dm.path(POOL)),
    }
    for table, complaint in MALFORMED_TABLES.items():
        with refused(errno.EINVAL, complaint):
            await mapper.dm.create("device", table.format(**names))
    for table, (complaint, argument) in SENSELESS_ARGUMENTS.items():
        with refused(errno.EINVAL, about(mapper, complaint, argument)):
            await mapper.dm.create("device", table.format(**names))
    with refused(errno.ENODEV, about(mapper, "Error opening pool device", "nobody")):
        await mapper.dm.create("device", "0 100 thin nobody 1")
    assert await mapper.dm.list() == [POOL]


async def test_a_name_that_can_be_no_file_name_is_refused(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await mapper.dm.message(POOL, 0, "create_thin 1")
    for name in ("", ".", "..", "a/b", "/dev/mapper/x", "control", "x" * 128, "\u00e9" * 64, "a\0b"):
        with refused(errno.EINVAL, "name"):
            await mapper.dm.create(name, thin_table(1))
    assert await mapper.dm.list() == [POOL]


async def test_a_pool_is_no_place_for_a_thin_of_a_thin(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    with refused(errno.EINVAL, "Couldn't find pool object"):
        await mapper.dm.create("other", thin_table(1, pool="thin"))


async def test_devices_of_a_pool_are_taken(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    with refused(errno.EBUSY, "metadata device already in use"):
        await mapper.dm.create("second", pool_table(mapper))
    await mapper.dm.create("spare", f"0 {POOL_BLOCKS * BLOCK // 512} zero")
    with refused(errno.EBUSY, "data device already in use"):
        await mapper.dm.load(POOL, pool_table(mapper).replace(mapper.data_dev, "/dev/mapper/spare"))
    await mapper.dm.remove("spare")


async def test_a_pool_on_missing_devices_is_enodev(mapper: MapperUnderTest) -> None:
    for taken in (mapper.metadata_dev, mapper.data_dev):
        with refused(errno.ENODEV, about(mapper, "", "/nowhere")):
            await mapper.dm.create(POOL, pool_table(mapper).replace(f" {taken} ", " /nowhere "))
    with refused(errno.ENODEV, about(mapper, "Error opening pool device", "nobody")):
        await mapper.dm.create("device", "0 100 thin nobody 1")
    await make_pool(mapper)
    with refused(errno.EINVAL, about(mapper, "Invalid device id", "16777216")):
        await mapper.dm.create("device", thin_table(16777216))


async def test_a_pool_longer_than_its_data_device_is_refused_and_closes_it(mapper: MapperUnderTest) -> None:
    with refused(errno.EINVAL, "too small"):
        await make_pool(mapper, blocks=POOL_BLOCKS + 1)
    await make_pool(mapper)


async def test_another_block_size_than_the_saved_one_is_refused(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await mapper.dm.remove(POOL)
    with refused(errno.EINVAL, "changing the data block size"):
        await mapper.dm.create(POOL, pool_table(mapper).replace(" 128 0 0", " 256 0 0"))
    await make_pool(mapper)


async def test_an_unknown_thin_id_is_enodata(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    with refused(errno.ENODATA):
        await mapper.dm.create("thin", thin_table(5))
    for message in ("delete 5", "create_snap 6 5"):
        with refused(errno.ENODATA):
            await mapper.dm.message(POOL, 0, message)


async def test_a_taken_thin_id_is_eexist(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await mapper.dm.message(POOL, 0, "create_thin 1")
    for message in ("create_thin 1", "create_snap 1 1", "create_snap 1 77"):
        with refused(errno.EEXIST):
            await mapper.dm.message(POOL, 0, message)


async def test_an_active_thin_id_cannot_be_deleted(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    await mapper.dm.create("again", thin_table(1))
    for name in ("thin", "again"):
        with refused(errno.EBUSY):
            await mapper.dm.message(POOL, 0, "delete 1")
        await mapper.dm.remove(name)
    await mapper.dm.message(POOL, 0, "delete 1")
    with refused(errno.ENODATA):
        await mapper.dm.message(POOL, 0, "delete 1")


async def test_a_pool_with_active_thins_stays(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    assert (await mapper.dm.info(POOL)).open_count == 1
    with refused(errno.EBUSY):
        await mapper.dm.remove(POOL)
    await mapper.write("thin", 0, b"x" * BLOCK)
    await mapper.dm.remove("thin")
    assert (await mapper.dm.info(POOL)).open_count == 0
    await mapper.dm.remove(POOL)


async def test_a_message_that_makes_no_sense_is_einval(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    for message in SENSELESS_MESSAGES:
        with refused(errno.EINVAL):
            await mapper.dm.message(POOL, 0, message)


async def test_a_message_to_a_sector_that_is_not_there_is_einval(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await mapper.dm.message(POOL, SECTORS - 1, "create_thin 1")
    for sector in (-1, SECTORS):
        with refused(errno.EINVAL, str(sector)):
            await mapper.dm.message(POOL, sector, "create_thin 2")


async def test_a_thin_takes_no_messages(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    with refused(errno.EINVAL):
        await mapper.dm.message("thin", 0, "create_thin 2")


async def test_no_thin_is_activated_while_its_pool_is_suspended(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await mapper.dm.message(POOL, 0, "create_thin 1")
    await mapper.dm.suspend(POOL)
    with refused(errno.EINVAL, "pool is suspended"):
        await mapper.dm.create("thin", thin_table(1))
    await mapper.dm.resume(POOL)
    await mapper.dm.create("thin", thin_table(1))
