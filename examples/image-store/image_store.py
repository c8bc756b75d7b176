"""A small image store pulls images, runs containers on them, and prunes."""

from typing import Protocol


class LayerStore(Protocol):
    def import_layers(self, name: str, layers: int, size: int, parent: str = "") -> list[str]: ...

    def prepare(self, key: str, parent: str = "") -> object: ...

    def remove(self, key: str) -> None: ...


class ImageStore:
    """An image store keeps the pulled images and the running containers. Sizes are bytes."""

    def __init__(self, snapshotter: LayerStore) -> None:
        self._snapshotter = snapshotter
        self._images: dict[str, list[str]] = {}
        self._containers: dict[str, str] = {}

    def pull(self, image: str, layers: int, size: int) -> None:
        """Import an image."""
        self._images[image] = self._snapshotter.import_layers(image, layers, size)

    def start(self, container: str, image: str) -> None:
        """Give a container its root file system."""
        self._snapshotter.prepare(container, self._images[image][-1])
        self._containers[container] = image

    def stop(self, container: str) -> None:
        """End a container and drop its file system."""
        del self._containers[container]
        self._snapshotter.remove(container)

    def prune(self) -> list[str]:
        """Remove the images that no container runs on; return their names."""
        unused = sorted(self._images.keys() - set(self._containers.values()))
        for image in unused:
            for layer in reversed(self._images.pop(image)):
                self._snapshotter.remove(layer)
        return unused
