"""`meaning_problems` checks names, images and sizes in a scenario file, which depend on each other.

It reads the document as tomllib returns it, so that mistakes in the shape of other values hide no problem.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from thinsim.did_you_mean import unknown_name
from thinsim.scenario.file.complaints import Complaint, Place
from thinsim.scenario.file.document import OWN_KEYS, ScenarioPool
from thinsim.scenario.file.steps.registry import AnyStep
from thinsim.snapshotter.config import Config
from thinsim.snapshotter.errors import InvalidConfigError
from thinsim.thin.metadata.space_map_metadata import least_metadata
from thinsim.units import DataBlocks, format_size

_STEP: TypeAdapter[AnyStep] = TypeAdapter(AnyStep)


def meaning_problems(document: Mapping[str, Any], base: Path | None) -> Iterator[Complaint]:
    """Yield the problems of *document*; with *base*, the directory for relative paths, images must exist."""
    yield from _pool_problems(document.get("pool", {}))
    yield from _snapshotter_problems(("snapshotter",), document.get("snapshotter"))
    variants: list[str] = []
    for number, variant in _tables(document, "variant"):
        yield from _name_problems(("variant", number), variant, variants)
        yield from _snapshotter_problems(("variant", number, "snapshotter"), variant.get("snapshotter"))
    phases: list[str] = []
    for number, phase in _tables(document, "phase"):
        yield from _name_problems(("phase", number), phase, phases)
        steps = phase.get("steps")
        for position, step in enumerate(steps if isinstance(steps, list) else ()):
            place = ("phase", number, "steps", position)
            yield from _step_problems(place, step, variants, phases)
            if base is not None:
                yield from _image_problems(place, step, phase.get("repeat", 1), base)


def _tables(document: Mapping[str, Any], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    found = document.get(name)
    for number, table in enumerate(found if isinstance(found, list) else ()):
        if isinstance(table, dict):
            yield number, table


def _name_problems(place: Place, table: Mapping[str, Any], names: list[str]) -> Iterator[Complaint]:
    name = table.get("name")
    if isinstance(name, str):
        if name in names:
            yield [*place, "name"], f"there is a {place[0]} {name!r} already"
        names.append(name)


def _pool_problems(table: object) -> Iterator[Complaint]:
    try:
        pool = ScenarioPool.model_validate(table)
    except ValidationError:
        return
    if "read_only" in pool.features:
        yield ("pool", "features"), "a new pool can't be read_only: it could not be formatted"
    blocks = DataBlocks(pool.data_size // pool.block_size)
    if not blocks:
        sizes = f"{format_size(pool.data_size)} is not even one data block of {format_size(pool.block_size)}"
        yield ("pool", "data_size"), sizes
    elif pool.metadata_size < least_metadata(blocks):
        least, given = format_size(least_metadata(blocks)), format_size(pool.metadata_size)
        yield ("pool", "metadata_size"), f"an empty pool of {blocks} data blocks takes {least}, not {given}"


def _snapshotter_problems(place: Place, table: object) -> Iterator[Complaint]:
    if not isinstance(table, dict):
        return
    known = {field.name for field in fields(Config)}
    for key in OWN_KEYS:
        if key in table:
            yield [*place, key], "is chosen by the run"
    checked = {"root_path": "/", "pool_name": "pool", "base_image_size": "256MB"}
    checked |= {key: value for key, value in table.items() if key not in OWN_KEYS}
    try:
        Config.from_table(checked)
    except InvalidConfigError as error:
        for problem in error.problems:
            words = re.findall(r"\w+", problem)
            at_fault = [word for word in words if word in known or word in table][:1]
            yield [*place, *at_fault], problem


def _step_problems(
    place: Place, table: object, variants: list[str], phases: list[str]
) -> Iterator[Complaint]:
    try:
        step = _STEP.validate_python(table)
    except ValidationError:
        return
    for name in step.only:
        if name not in variants:
            yield [*place, "only"], unknown_name("variant", name, variants)
    for keys, problem in step.problems(phases):
        yield [*place, *keys], problem


def _image_problems(place: Place, table: object, repeat: object, base: Path) -> Iterator[Complaint]:
    """Yield the first missing image of all that a repeated step names."""
    image = table.get("image") if isinstance(table, dict) else None
    if not isinstance(image, str) or not image or not isinstance(repeat, int):
        return
    numbers = range(1, repeat + 1) if "{n}" in image else (1,)
    paths = (base / image.replace("{n}", str(number)) for number in numbers)
    missing = (path for path in paths if not path.exists())
    yield from (([*place, "image"], f"{path} does not exist") for path in islice(missing, 1))
