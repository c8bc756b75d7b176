"""Container images are opened from an archive, built from this machine's files, unpacked layer by layer."""

from thinsim.workload.image.archive import Image, Layer, open_image
from thinsim.workload.image.built import BuiltImage, build_image
from thinsim.workload.image.errors import InvalidImageError
from thinsim.workload.image.unpack import UnpackResult, unpack_layer

__all__ = [
    "BuiltImage",
    "Image",
    "InvalidImageError",
    "Layer",
    "UnpackResult",
    "build_image",
    "open_image",
    "unpack_layer",
]
