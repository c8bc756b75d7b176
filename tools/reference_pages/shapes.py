"""No class of thinsim declares these shapes of JSON documents; a test compares them with real documents."""

from typing import Any, Literal, NotRequired, TypedDict

from fuse_backing.events import Bucket, LedgerEvent, Totals
from fuse_backing.faults import Fault
from fuse_backing.libfuse import Libfuse
from thinsim.conformance.heights.cases import DiscardAnswer
from thinsim.machine.findings import Finding
from thinsim.thin.metadata.check import Problem
from thinsim.thin.status import PoolStatus


class ListedScenario(TypedDict):
    """A `ListedScenario` is a scenario of the library."""

    name: str
    """The name that `thinsim run` takes."""
    title: str
    """The scenario's title."""
    variants: list[str]
    """The names of its variants."""
    path: str
    """The path of the file."""


class ListedPool(TypedDict):
    """A `ListedPool` is a pool of `thinsim pool`. The last keys are absent if the pool cannot be measured."""

    name: str
    """The pool's name."""
    rig: str
    """The rig whose device-mapper has the pool."""
    directory: str
    """The pool's directory."""
    block_size: int
    """Size of a data block."""
    data_size: int
    """Size of the data device."""
    metadata_size: int
    """Size of the metadata device."""
    state: str
    """The state of the pool in words."""
    used: NotRequired[int]
    """Bytes in used data blocks."""
    host: NotRequired[int]
    """Bytes that the host holds for the data file."""
    given_back: NotRequired[int]
    """Bytes that hole punches have freed on the host."""
    mode: NotRequired[str]
    """The pool's mode."""
    status: NotRequired[PoolStatus]
    """The pool's status line."""


class TransportShape(TypedDict):
    """A `TransportShape` is the way of FUSE's requests."""

    name: str
    """`/dev/fuse` or `io_uring`."""
    reason: str
    """The reason why it is not io_uring although that was wanted; otherwise empty."""


class DeviceMapperState(TypedDict):
    """The object describes the emulated device-mapper of `thinsim env`."""

    running: bool
    """True if it runs."""
    devices: list[str]
    """The names of its devices."""
    data_planes: dict[str, str]
    """The data plane of each pool, by its name: the file that C threads use, or Python and the reason."""
    transport: TransportShape | None
    """The way of the kernel's requests; null if it does not run, or is older."""


class RunJournal(TypedDict):
    """A `RunJournal` lists the resources that a run has taken from the machine."""

    journal: str
    """The path of the journal."""
    owner: int
    """The process id of the run."""
    abandoned: bool
    """True if the run has died."""
    taken: list[dict[str, Any]]
    """The resources, each with its `kind` and the fields of that kind."""


class Diagnosis(TypedDict):
    """The object contains the findings and the acts of `thinsim doctor`."""

    rig: str | None
    """The rig that `auto` takes, or null."""
    why: str
    """The reason for the choice."""
    findings: list[Finding]
    """The needs of the rigs."""
    libfuse: Libfuse
    """The libfuse that serves the names and attributes of mounts, and the way by which requests reach it."""
    runs: list[RunJournal]
    """Runs with resources on the machine."""
    dead_stores: list[str]
    """Mountpoints of stores whose server has died."""
    fuse_switch_left_on: bool
    """True if a server that was killed has left the kernel's switch of FUSE over io_uring on."""
    cleaned: list[str]
    """With `--clean`, the resources that were released."""
    problems: list[str]
    """With `--clean`, the resources that could not be released."""


class CheckedMetadata(TypedDict):
    """The object is the result of a check of a pool's metadata."""

    sound: bool
    """True if there are no problems."""
    needs_check: bool
    """True if the flag needs_check is set."""
    nodes: int
    """The number of btree nodes that were read."""
    problems: list[Problem]
    """The problems."""


class DumpedMapping(TypedDict):
    """A `DumpedMapping` is a range of consecutive mappings."""

    origin_begin: int
    """The first virtual block."""
    data_begin: int
    """The first data block."""
    length: int
    """The number of blocks."""
    time: int
    """The pool's time at which they were mapped."""


class DumpedThinDevice(TypedDict):
    """A `DumpedThinDevice` is a thin device with its mappings."""

    dev_id: int
    """The thin id."""
    mapped_blocks: int
    """The number of mapped blocks."""
    transaction: int
    """The transaction id at its creation."""
    creation_time: int
    """The pool's time at its creation."""
    snap_time: int
    """The pool's time at its last snapshot."""
    mappings: list[DumpedMapping]
    """The mappings, in order."""


class DumpedMetadata(TypedDict):
    """The object has the keys of thin_dump's XML."""

    time: int
    """The pool's time."""
    transaction: int
    """The transaction id."""
    flags: int
    """The flags of the superblock."""
    version: int
    """The version of the format."""
    data_block_size: int
    """Sectors in a data block."""
    nr_data_blocks: int
    """The number of data blocks."""
    devices: list[DumpedThinDevice]
    """The thin devices."""
    damage: list[str]
    """The parts that could not be read."""


class MetadataBlocks(TypedDict):
    """The counts are in blocks of 4 KiB."""

    total: int
    """Blocks of the device."""
    allocated: int
    """Blocks in use."""
    used_with_reserve: int
    """Blocks in use together with the reserve, as `dmsetup status` counts."""


class UsedDataBlocks(TypedDict):
    """The counts are in data blocks."""

    total: int
    """Blocks of the device."""
    allocated: int
    """Blocks in use."""


class UsedThinDevice(TypedDict):
    """A `UsedThinDevice` is a thin device without its mappings."""

    dev_id: int
    """The thin id."""
    mapped_blocks: int
    """The number of mapped blocks."""
    transaction_id: int
    """The transaction id at its creation."""
    creation_time: int
    """The pool's time at its creation."""
    snapshotted_time: int
    """The pool's time at its last snapshot."""
    mapped_sectors: int
    """The number of mapped sectors."""


class CheckedScenario(TypedDict):
    """A scenario file was checked; the numbers are 0 if it cannot be read as one."""

    file: str
    """The user's word for it."""
    ok: bool
    """True if no problem was found."""
    problems: list[str]
    """The problems, each with its line."""
    remarks: list[str]
    """Things that are allowed and may be mistakes."""
    phases: int
    """Number of phases."""
    variants: int
    """Number of variants."""
    steps: int
    """Number of steps."""


class MetadataUsage(TypedDict):
    """The object has the numbers that the superblock and the devices state."""

    transaction_id: int
    """The transaction id."""
    time: int
    """The pool's time."""
    needs_check: bool
    """True if the flag needs_check is set."""
    held_root: int | None
    """The block of the held root, or null."""
    data_block_sectors: int
    """Sectors in a data block."""
    metadata_blocks: MetadataBlocks
    """The metadata device."""
    data_blocks: UsedDataBlocks
    """The data device."""
    devices: list[UsedThinDevice]
    """The thin devices, by thin id."""
    damage: list[str]
    """The parts that could not be read."""


class AnswerDifference(TypedDict):
    """An `AnswerDifference` is an answer that differs from the kernel's."""

    history: str
    """The name of the history."""
    index: int
    """The index of the operation, from 0; one past the last for the end of the history."""
    operation: list[Any] | None
    """The operation as in a history's file, or null for the end."""
    behaviour: str
    """The kind of behaviour."""
    kernel: str
    """The kernel's answer."""
    found: str
    """The subject's answer."""
    why: str
    """The known explanation; empty for none."""


class ConformanceVerdict(TypedDict):
    """A `ConformanceVerdict` compares one subject with one kernel."""

    kernel: str
    """The kernel."""
    subject: str
    """The subject that was compared with it."""
    histories: int
    """The number of histories."""
    operations: int
    """The number of operations."""
    compared: dict[str, int]
    """The number of comparisons, by kind of behaviour."""
    differences: list[AnswerDifference]
    """The differences, explained ones included."""


class HeightsRecording(TypedDict):
    """A `HeightsRecording` has the requests that discards become at each height."""

    format: Literal[1]
    """The version of the document."""
    source: str
    """The kernel or device-mapper that was measured."""
    answers: dict[str, DiscardAnswer]
    """The answers, by the name of the case."""


class StoreStatistics(TypedDict):
    """The object has the sums over the events of a store since a moment."""

    since: float
    """Seconds since the epoch at which the counting began: the last reset, or the mount."""
    read: float
    """Seconds since the epoch at which the server read the sums."""
    totals: Totals
    """The sums over all files."""
    files: dict[str, Totals]
    """The sums of each file, by name."""
    freed_is_measured: NotRequired[bool]
    """False if freed bytes are estimated; absent otherwise."""


class LatencyRow(TypedDict):
    """The object has the latencies of one kind of request. Times are seconds."""

    count: int
    """The number of requests."""
    natively: int
    """The number of these requests that the server answered in C, without Python."""
    total: float
    """The sum of the latencies."""
    mean: float
    """The mean latency."""
    p50: float
    """The median: half of the requests were not slower. A percentile is at most 3.2 % too large."""
    p90: float
    """The latency that 90 % of the requests did not exceed."""
    p99: float
    """The latency that 99 % of the requests did not exceed."""
    p99_9: float
    """The latency that 99.9 % of the requests did not exceed."""
    longest: float
    """The longest latency."""
    buckets: list[list[float]]
    """Pairs of the largest latency of a bucket and its number of requests, without empty buckets."""


class StoreLatency(TypedDict):
    """The object has the latencies of a store's requests since a moment."""

    since: float
    """Seconds since the epoch at which the counting began: the last reset, or the mount."""
    read: float
    """Seconds since the epoch at which the server read the latencies."""
    data_served_by: Literal["kernel", "server"]
    """`kernel` if the kernel serves the reads and writes itself, so that they have no latencies here."""
    operations: dict[str, LatencyRow]
    """The latencies of each operation, by name."""


class LostEvents(TypedDict):
    """The object replaces events that were overwritten before they were read."""

    missed: int
    """The number of events that were lost."""


class StoreHistogram(TypedDict):
    """The object has equal buckets, from 0 on."""

    started: NotRequired[float]
    """Seconds since the epoch at which the ledger began; by time only."""
    width: float
    """The width of a bucket: seconds by time, bytes by offset."""
    buckets: list[Bucket]
    """The buckets."""


class MappedRange(TypedDict):
    """A `MappedRange` is a range of the file that is allocated or a hole."""

    start: int
    """The first byte."""
    end: int
    """The byte after the last."""
    allocated: bool
    """True if the host has allocated it."""
    shared: bool
    """True if the extent is shared with another file or place."""


class FileMap(TypedDict):
    """The object is the allocation of one file."""

    size: int
    """The size of the file."""
    allocated: int
    """Bytes that the host has allocated for it."""
    ranges: list[MappedRange]
    """The ranges, in order."""


class FaultInForce(TypedDict):
    """A `FaultInForce` is a fault of the plan. The fault has only the keys that are not at their defaults."""

    fault: Fault
    """The fault."""
    matched: int
    """Requests that the fault has counted."""
    struck: int
    """Requests that it has struck."""


EVENT_LINE = (LedgerEvent, LostEvents)
"""A line of ``fuse-backing events --json`` is one of these objects."""
