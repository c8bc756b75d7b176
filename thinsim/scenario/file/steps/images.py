"""This step imports an image."""

from collections.abc import Iterator, Sequence
from typing import Literal

from thinsim.scenario.file.steps.step import Act, RunningVariant
from thinsim.scenario.file.values import Count, FileName, Size
from thinsim.workload.image.archive import open_image


class ImportStep(Act):
    """Import an image: per layer prepare, write (or unpack), commit; layers are NAME-1, NAME-2, ..."""

    do: Literal["import"]
    name: FileName = "layer"
    parent: str = ""
    """Put the first layer on this committed snapshot: layers that images share."""
    layers: Count = 1
    size: Size = 0
    """Bytes in all, shared out over the layers; each layer's files are called as the layer."""
    image: str = ""
    """An archive or layout to import instead; relative to the scenario's file."""

    async def act(self, run: RunningVariant) -> None:
        """Import made-up layers, or those of the archive."""
        if not self.image:
            await run.session.import_layers(self.name, self.layers, self.size, self.parent)
            return
        with open_image(run.base / self.image) as image:
            if image.note:
                run.say(f"{self.image}: {image.note}")
            await run.session.import_image(self.name, image, self.parent)

    def problems(self, phases: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield what is wrong where both an image and a size are given, or neither."""
        if bool(self.image) == bool(self.size):
            yield (), "an import has either an image or a size"
