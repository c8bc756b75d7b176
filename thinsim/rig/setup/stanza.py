"""What containerd's config.toml says of a pool, as the documentation prints it after a set-up. Pure."""

import json

from thinsim.snapshotter.daemon_config import PLUGIN

_ROOT_PATH = "/var/lib/containerd/devmapper"
_BASE_IMAGE_SIZE = "10GB"


def config_toml(pool: str, *, discard_blocks: bool) -> str:
    """Return a config.toml for *pool*; the documentation has *discard_blocks* on, or says nothing of it."""
    values = {"pool_name": pool, "root_path": _ROOT_PATH, "base_image_size": _BASE_IMAGE_SIZE}
    lines = ["version = 2", "", "[plugins]", f"  [plugins.{json.dumps(PLUGIN)}]"]
    lines += [f"    {key} = {json.dumps(value)}" for key, value in values.items()]
    if discard_blocks:
        lines.append("    discard_blocks = true")
    return "\n".join(lines) + "\n"
