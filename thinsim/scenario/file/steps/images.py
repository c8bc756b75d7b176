"""An `ImportStep` imports an image."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from thinsim.scenario.file.known_snapshots import KnownSnapshots, Refusal
from thinsim.scenario.file.steps.step import Act, RunningVariant
from thinsim.scenario.file.values import Count, FileName, Size
from thinsim.snapshotter.interface import Kind
from thinsim.workload.image.archive import open_image


class ImportStep(Act):
    """Import an image: prepare, write or unpack, and commit each layer."""

    do: Literal["import"]
    name: FileName = "layer"
    """The prefix of the committed snapshots: layer 1 is `NAME-1`."""
    parent: str = ""
    """The committed snapshot below the first layer, for layers that images share; empty for none."""
    layers: Count = 1
    """The number of layers, if the files are made up."""
    size: Size = 0
    """Bytes of made-up files, all layers together. The files of a layer have the layer's name."""
    image: str = ""
    """The path of an archive or layout to import instead, relative to the scenario's file."""

    async def act(self, run: RunningVariant) -> None:
        if not self.image:
            await run.session.import_layers(self.name, self.layers, self.size, self.parent)
            return
        with open_image(run.base / self.image) as image:
            if image.note:
                run.say(f"{self.image}: {image.note}")
            await run.session.import_image(self.name, image, self.parent)

    def refusal(self, known: KnownSnapshots) -> Refusal | None:
        trial = known.copy()
        for number, (name, key, parent) in enumerate(self._made_layers()):
            refused = trial.refuse_creation(key, parent)
            if refused is not None:
                at = "parent" if refused.keys == ("parent",) and not number else "name"
                return replace(refused, keys=(at,), in_files=number > 0)
            trial.create(Kind.ACTIVE, key, parent)
            refused = trial.refuse_commit(name, key)
            if refused is not None:
                # The files are written before the commit, and that can fail with another error.
                return replace(refused, keys=("name",), in_files=True)
            trial.commit(name, key)
        return None

    def expect(self, known: KnownSnapshots) -> None:
        if self.image:
            known.images.add(self.name)
        for name, key, parent in self._made_layers():
            known.create(Kind.ACTIVE, key, parent)
            known.change_files(key, add=name)
            known.commit(name, key)

    def _made_layers(self) -> Iterator[tuple[str, str, str]]:
        """Yield the name, the key and the parent of each layer of made-up files, bottom first."""
        parent = self.parent
        for number in range(1, 0 if self.image else self.layers + 1):
            name = f"{self.name}-{number}"
            yield name, f"extract-{name}", parent
            parent = name

    def problems(self, phases: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield a problem if the step has both an image and a size, or neither."""
        if bool(self.image) == bool(self.size):
            yield (), "an import has either an image or a size"
