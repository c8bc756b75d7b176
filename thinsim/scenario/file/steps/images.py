"""An `ImportStep` imports an image."""

from collections.abc import Iterator, Sequence
from typing import Literal

from thinsim.scenario.file.steps.step import Act, RunningVariant
from thinsim.scenario.file.values import Count, FileName, Size
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

    def problems(self, phases: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield a problem if the step has both an image and a size, or neither."""
        if bool(self.image) == bool(self.size):
            yield (), "an import has either an image or a size"
