"""An `ImportStep` imports an image."""

from collections.abc import Iterator, Sequence
from typing import Literal

from thinsim.scenario.file.steps.step import Act, RunningVariant
from thinsim.scenario.file.values import Count, FileName, Size
from thinsim.workload.image.archive import open_image


class ImportStep(Act):
    """An `import` step imports an image: it prepares, writes (or unpacks) and commits each layer.

    The layers are NAME-1, NAME-2, ...
    """

    do: Literal["import"]
    name: FileName = "layer"
    parent: str = ""
    """The committed snapshot below the first layer, so that images can share layers."""
    layers: Count = 1
    size: Size = 0
    """The size of all layers together. The files of a layer have the name of the layer."""
    image: str = ""
    """An archive or layout to import instead; its path is relative to the scenario's file."""

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
