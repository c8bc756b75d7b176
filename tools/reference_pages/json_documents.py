"""Each JSON document of a command is listed with the class of its objects, which has its keys."""

from collections import Counter
from dataclasses import dataclass

import click

from fuse_backing.cli import cli
from fuse_backing.events import LedgerEvent
from thinsim.benchmark.comparison import Comparison
from thinsim.benchmark.document import Benchmark
from thinsim.cli.main import commands
from thinsim.crashes.campaign import Crash
from thinsim.dm.metadata_pack import PackResult
from thinsim.machine.findings import Finding
from thinsim.node.audit.audited import AuditedPool
from thinsim.node.reclaim.progress import ReclaimProgress
from thinsim.node.stack.report import HeightsReport
from thinsim.regression.baseline import Baseline
from thinsim.report.document import Report
from thinsim.scenario.space_faults import SpaceFaultRow
from thinsim.snapshotter.repair import RepairReport
from thinsim.watch.moment import Moment
from tools.reference_pages import shapes
from tools.reference_pages.keys import TypeWords, key_table, objects_below
from tools.reference_pages.markdown import code, prose, table

PROGRAMS: dict[str, click.Command] = {"thinsim": commands, "fuse-backing": cli}


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """A document is written by *written_by*; *form* counts its objects of *kind*."""

    title: str
    written_by: tuple[str, ...]
    kind: type
    form: str = "one object"
    schema: str = ""
    """The command that prints its JSON schema."""


_ARRAY = "an array of objects"

DOCUMENTS = (
    JsonDocument(
        "Report",
        ("thinsim run", "thinsim reproduce", "thinsim report"),
        Report,
        schema="thinsim report --schema",
    ),
    JsonDocument("Baseline", ("thinsim baseline save", "thinsim ci"), Baseline),
    JsonDocument("Benchmark", ("thinsim bench",), Benchmark, schema="thinsim bench --schema"),
    JsonDocument(
        "Comparison of benchmarks", ("thinsim compare",), Comparison, schema="thinsim compare --schema"
    ),
    JsonDocument("Scenarios of the library", ("thinsim scenarios list",), shapes.ListedScenario, _ARRAY),
    JsonDocument("Check of scenarios", ("thinsim scenarios check",), shapes.CheckedScenario, _ARRAY),
    JsonDocument("Pools", ("thinsim pool list", "thinsim pool status"), shapes.ListedPool, _ARRAY),
    JsonDocument("Running pool", ("thinsim watch",), Moment, "one object per line"),
    JsonDocument("Audit", ("thinsim audit",), AuditedPool, _ARRAY),
    JsonDocument("Reclaim", ("thinsim reclaim",), ReclaimProgress),
    JsonDocument("Storage stack", ("thinsim heights",), HeightsReport),
    JsonDocument("Emulated device-mapper", ("thinsim dm status",), shapes.DeviceMapperState),
    JsonDocument("Diagnosis", ("thinsim doctor",), shapes.Diagnosis),
    JsonDocument("Needs of a guest", ("thinsim vm probe",), Finding, _ARRAY),
    JsonDocument("Check of metadata", ("thinsim metadata check",), shapes.CheckedMetadata),
    JsonDocument("Dump of metadata", ("thinsim metadata dump",), shapes.DumpedMetadata),
    JsonDocument("Usage of metadata", ("thinsim metadata usage",), shapes.MetadataUsage),
    JsonDocument("Pack of metadata", ("thinsim metadata pack", "thinsim metadata unpack"), PackResult),
    JsonDocument(
        "Verdict on conformance",
        ("thinsim conformance check", "thinsim conformance run"),
        shapes.ConformanceVerdict,
        _ARRAY,
    ),
    JsonDocument("Heights of discards", ("thinsim conformance heights",), shapes.HeightsRecording, _ARRAY),
    JsonDocument("Space faults", ("thinsim snapshotter leaks",), SpaceFaultRow, _ARRAY),
    JsonDocument("Crashes", ("thinsim snapshotter crashes",), Crash, _ARRAY),
    JsonDocument("Repair", ("thinsim snapshotter repair",), RepairReport),
    JsonDocument("Totals of a store", ("fuse-backing stats",), shapes.StoreStatistics),
    JsonDocument("Latencies of a store", ("fuse-backing latency",), shapes.StoreLatency),
    JsonDocument(
        "Events of a store", ("fuse-backing events", "fuse-backing mount"), LedgerEvent, "one object per line"
    ),
    JsonDocument("Histogram of a store", ("fuse-backing histogram",), shapes.StoreHistogram),
    JsonDocument("Map of a file", ("fuse-backing map",), shapes.FileMap),
    JsonDocument("Faults in force", ("fuse-backing faults show",), shapes.FaultInForce, _ARRAY),
)


def overview() -> str:
    """Return the table of commands that write JSON, each with a link to its document."""
    rows = [
        (", ".join(map(code, each.written_by)), f"[{each.title}](#{_anchor(each.title)})", each.form)
        for each in DOCUMENTS
    ]
    return table(("command", "document", "form"), rows)


def documents() -> str:
    """Return a section for each document, and the objects that several of them share at the end."""
    used = Counter(kind for each in DOCUMENTS for kind in objects_below(each.kind))
    top = {each.kind for each in DOCUMENTS}
    shared = [kind for kind, times in used.items() if times > 1 and kind not in top]
    words = TypeWords(lambda kind: _link(kind, top))
    sections = [_document(each, words, set(shared) | (top - {each.kind})) for each in DOCUMENTS]
    others = [_object(kind, words) for kind in shared]
    return "\n".join([*sections, "## Shared objects\n", *others])


def _document(document: JsonDocument, words: TypeWords, elsewhere: set[type]) -> str:
    below = [kind for kind in objects_below(document.kind)[1:] if kind not in elsewhere]
    writers = " and ".join(map(code, document.written_by))
    schema = f" {code(document.schema)} prints its JSON schema." if document.schema else ""
    origin = f"The document of {writers} is {document.form}.{schema}"
    head = f"## {document.title}\n\n{origin}\n\n{prose(document.kind.__doc__ or '')}\n"
    return "\n".join([head, key_table(document.kind, words), *(_object(kind, words) for kind in below)])


def _object(kind: type, words: TypeWords) -> str:
    return f"### {kind.__name__}\n\n{prose(kind.__doc__ or '')}\n\n{key_table(kind, words)}"


def _link(kind: type, top: set[type]) -> str:
    title = next((each.title for each in DOCUMENTS if each.kind is kind), kind.__name__)
    return f"[{kind.__name__}](#{_anchor(title)})"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
