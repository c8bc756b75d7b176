"""The fixture `image` makes the image that the reader of the documents has."""

from pathlib import Path

import pytest

from thinsim.workload.image import build_image


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "app.tar"
    build_image(path, size=4 << 20)
    return path
