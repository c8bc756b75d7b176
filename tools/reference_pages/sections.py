"""`SECTIONS` lists the generated sections: a page names one in a fence, and the build writes it there."""

import re
from collections.abc import Callable, Mapping
from functools import partial

from tools.reference_pages import (
    files,
    json_documents,
    rigs,
    scenario_file,
    statuses,
    store_protocol,
)

SECTIONS: Mapping[str, Callable[[], str]] = {
    "exit-statuses-thinsim": partial(statuses.status_table, "thinsim"),
    "exit-statuses-fuse-backing": partial(statuses.status_table, "fuse-backing"),
    "files-thinsim": partial(files.places, "thinsim"),
    "files-fuse-backing": partial(files.places, "fuse-backing"),
    "scenario-tables": scenario_file.tables,
    "scenario-steps": scenario_file.steps,
    "scenario-limits": scenario_file.limits,
    "leak-reasons": scenario_file.reasons,
    "rigs": rigs.rig_table,
    "rig-needs": rigs.need_table,
    "settings": rigs.setting_table,
    "targets": rigs.target_table,
    "json-overview": json_documents.overview,
    "json-documents": json_documents.documents,
    "store-objects": store_protocol.objects,
    "store-event": store_protocol.event,
    "fault-keys": store_protocol.fault,
}

_FENCE = re.compile(r"^```\{generated\} (\S+)\n.*?^```$", re.MULTILINE | re.DOTALL)


def sections_of(page: str) -> list[str]:
    """Return the names of the sections that a page's text names, in order."""
    return _FENCE.findall(page)


def with_sections(page: str) -> str:
    """Return a page's text with each fence replaced by its section; KeyError for an unknown name."""
    return _FENCE.sub(lambda fence: SECTIONS[fence[1]]().rstrip("\n"), page)
