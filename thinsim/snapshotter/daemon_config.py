"""`devmapper_table` reads the devmapper plugin's table from containerd's ``config.toml`` and its imports.

It follows containerd's ``LoadConfig``, ``resolveImports`` and ``mergeConfig`` (1.6
``services/server/config/config.go``, 2.x ``cmd/containerd/server/config/config.go``), the plugin's
``plugin.go``, and the behaviour of containerd 1.6.20 and 2.1.9. A file that one of the two releases
loads is accepted. The tables of other plugins are ignored. ``disabled_plugins`` may name the plugin:
it must do so on a machine where thinsim's snapshotter has the pool.
"""

import codecs
import glob
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thinsim.snapshotter.daemon_keys import check_types, field_in_any_case, typed_value
from thinsim.snapshotter.errors import InvalidConfigError

if sys.version_info >= (3, 15):
    import tomllib as toml
else:
    import tomli as toml

PLUGIN = "io.containerd.snapshotter.v1.devmapper"
SHORT_NAME = "devmapper"
"""The name of the plugin in a file of version 1."""

NEWEST_VERSION = 4
_LARGEST_NUMBER = (1 << 63) - 1
DEFAULT_ROOT = "/var/lib/containerd"
DEFAULT_STATE = "/run/containerd"

log = logging.getLogger(__name__)

_KEYS = frozenset(
    {"version", "root", "state", "temp", "plugin_dir", "grpc", "ttrpc", "debug", "metrics", "timeouts"}
    | {"disabled_plugins", "required_plugins", "plugins", "proxy_plugins", "stream_processors"}
    | {"oom_score", "cgroup", "imports"}
)
_ODD = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a file of TOML 1.1. Raise InvalidConfigError if that fails.

    Like containerd 1.x, ignore a byte order mark at the start and any invalid character in a comment line.
    """
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines(keepends=True)
        text = b"".join(map(_without_odd_comment, lines)).decode()
        return toml.loads(text.replace("\r\n", "\n").replace("\r", "\n"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InvalidConfigError((f"line {line} is not UTF-8 text",), str(path)) from error
    except (toml.TOMLDecodeError, RecursionError) as error:
        raise InvalidConfigError((f"not a TOML file: {error}",), str(path)) from error
    except OSError as error:
        raise InvalidConfigError((error.strerror or str(error),), str(path)) from error


def _without_odd_comment(line: bytes) -> bytes:
    """Return *line*; from a comment remove control characters and bytes that are not UTF-8."""
    if not line.lstrip().startswith(b"#"):
        return line
    return _ODD.sub(b"", line).decode(errors="ignore").encode()


def is_daemon_config(document: Mapping[str, Any]) -> bool:
    """Return whether *document* is a file for containerd itself, not the devmapper table alone."""
    return not document or any(key.lower() in _KEYS for key in document)


def devmapper_table(path: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table that containerd's devmapper plugin gets from *document*, the content of *path*.

    Imported files are read. A missing or empty ``root_path`` becomes the plugin's directory below
    containerd's root. Raise InvalidConfigError, which names the file and the key that containerd refuses.
    """
    tables: list[dict[str, Any]] = []
    root, state, merges = DEFAULT_ROOT, DEFAULT_STATE, False
    pending: list[tuple[Path, Mapping[str, Any] | None]] = [(path, document)]
    seen: set[Path] = set()
    hints: list[str] = []
    while pending:
        file, content = pending.pop(0)
        if file in seen:
            continue
        seen.add(file)
        content = read_toml(file) if content is None else content
        version = _version(file, content)
        merges |= version > 2
        check_types(file, content)
        root = typed_value(file, content, "root", str) or root
        state = typed_value(file, content, "state", str) or state
        _check_disabled(file, content, version)
        table = _plugin_table(file, content, version, hints)
        if table is not None:
            tables.append(table)
        pending += [(each, None) for each in _imports(file, content)]
    if Path(root) == Path(state):
        text = f"root and state must be different directories, not both {root!r}"
        raise InvalidConfigError((text,), str(path))
    if not tables:
        header = f'[plugins."{PLUGIN}"]'
        what = (
            "add it and move these keys into it"
            if "pool_name" in document
            else "add it, with pool_name and base_image_size"
        )
        raise InvalidConfigError(tuple(hints) or (f"no table {header}: {what}",), str(path))
    found = _joined(tables, merges=merges)
    if field_in_any_case(found, "root_path") in (None, ""):
        found = {key: value for key, value in found.items() if key.lower() != "root_path"}
        found["root_path"] = f"{root}/{PLUGIN}"
    return found


def _version(file: Path, document: Mapping[str, Any]) -> int:
    version = int(typed_value(file, document, "version", int) or 1)
    if not -_LARGEST_NUMBER <= version <= _LARGEST_NUMBER:
        raise InvalidConfigError((f"version must fit 63 bits, not {version}",), str(file))
    if not 1 <= version <= NEWEST_VERSION:
        # containerd 1.x reads every version but 1 as if it were 2.
        log.warning("%s: containerd has no configuration version %d; reading it as version 2", file, version)
        return 2
    return version


def _check_disabled(file: Path, document: Mapping[str, Any], version: int) -> None:
    for key in ("disabled_plugins", "required_plugins"):
        for name in typed_value(file, document, key, list) or ():
            if version > 1 and "." not in name:
                fix = PLUGIN if name == SHORT_NAME else "io.containerd.TYPE.vN.NAME"
                text = f"{key}: version {version} needs a plugin's full name, such as {fix!r}, not {name!r}"
                raise InvalidConfigError((text,), str(file))


def _plugin_table(
    file: Path, document: Mapping[str, Any], version: int, hints: list[str]
) -> dict[str, Any] | None:
    plugins = field_in_any_case(document, "plugins")
    if plugins is None:
        return None
    if not isinstance(plugins, dict):
        text = f'plugins must be a table with a table [plugins."{PLUGIN}"], not {plugins!r}'
        raise InvalidConfigError((text,), str(file))
    # containerd 2.x also reads the full name in a file of version 1.
    names = (SHORT_NAME, PLUGIN) if version == 1 else (PLUGIN,)
    for name in names:
        if name in plugins:
            table = plugins[name]
            if not isinstance(table, dict):
                raise InvalidConfigError((f"plugins.{name} must be a table, not {table!r}",), str(file))
            return table
    if SHORT_NAME in plugins:
        hints.append(
            f'no table [plugins."{PLUGIN}"]: version {version} uses this name for [plugins.{SHORT_NAME}]; '
            f"rename the table, or remove the version"
        )
    return None


def _imports(file: Path, document: Mapping[str, Any]) -> list[Path]:
    """Return the files that *document* imports. A pattern with a ``*`` may match no file."""
    found: list[Path] = []
    for text in typed_value(file, document, "imports", list) or ():
        path = file.parent / text
        if "*" in text:
            # Go's patterns negate with ^, and their * matches names that start with a dot.
            pattern = str(path).replace("[^", "[!")
            found += map(Path, sorted(glob.glob(pattern, include_hidden=True)))  # noqa: PTH207 (wants no base)
        elif path.exists():
            found.append(path)
        else:
            raise InvalidConfigError((f"imports {text!r}, but {path} does not exist",), str(file))
    return found


def _joined(tables: list[dict[str, Any]], *, merges: bool) -> dict[str, Any]:
    """Join the tables of several files, which come in the order in which they are read.

    containerd 2.x joins them key by key; 1.x uses the last table alone. The last table alone is returned
    if that makes a difference, containerd 1.x is installed, and no file's version requires 2.x.
    """
    joined: dict[str, Any] = {}
    for table in tables:
        joined |= table
    last = tables[-1]
    complete = bool(field_in_any_case(last, "pool_name") and field_in_any_case(last, "base_image_size"))
    if joined != last and complete and not merges and _installed_release() == 1:
        return dict(last)
    return joined


def _installed_release() -> int | None:
    """Return the major release of the installed containerd, or None."""
    program = shutil.which("containerd")
    if program is None:
        return None
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\sv?(\d+)\.\d+\.\d+", done.stdout)
    return int(found[1]) if found else None
