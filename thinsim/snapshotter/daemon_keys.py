"""`check_types` checks the types of the keys in ``config.toml`` that belong to containerd itself.

containerd refuses the whole file for one value of the wrong type. The keys are those of ``Config`` in
containerd's ``services/server/config/config.go`` (1.6). The tables of other plugins are not checked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thinsim.snapshotter.errors import InvalidConfigError

_WORDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a number",
    str: "a string",
    list: "a list of strings",
    dict: "a table",
}
_SOCKET: Mapping[str, type] = {"address": str, "uid": int, "gid": int}
_KEYS: Mapping[str, type] = {"plugin_dir": str, "temp": str, "oom_score": int}
_TABLES: Mapping[str, Mapping[str, type]] = {
    "grpc": {
        **_SOCKET,
        "tcp_address": str,
        "tcp_tls_ca": str,
        "tcp_tls_cert": str,
        "tcp_tls_key": str,
        "max_recv_message_size": int,
        "max_send_message_size": int,
    },
    "ttrpc": _SOCKET,
    "debug": {**_SOCKET, "level": str, "format": str},
    "metrics": {"address": str, "grpc_histogram": bool},
    "cgroup": {"path": str},
    "timeouts": {},
    "proxy_plugins": {},
    "stream_processors": {},
}
_OF_ALL: Mapping[str, type] = {"timeouts": str, "proxy_plugins": dict, "stream_processors": dict}
"""Tables with arbitrary keys, and the type of each value."""


def field_in_any_case(table: Mapping[str, Any], name: str) -> Any | None:
    """Return the value of key *name*, or, like containerd, of a key that differs only in case, or None."""
    if name in table:
        return table[name]
    return next((value for key, value in table.items() if key.lower() == name), None)


def typed_value(file: Path, table: Mapping[str, Any], name: str, kind: type, within: str = "") -> Any | None:
    """Return the value of key *name*, or None. Raise InvalidConfigError if its type is not *kind*."""
    value = field_in_any_case(table, name)
    if value is None:
        return None
    fits = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
    if kind is list:
        fits = fits and all(isinstance(each, str) for each in value)
    if not fits:
        text = f"{within}{name} must be {_WORDS[kind]}, not {value!r}"
        raise InvalidConfigError((text,), str(file))
    return value


def check_types(file: Path, document: Mapping[str, Any]) -> None:
    """Raise InvalidConfigError for the first key with a value of the wrong type."""
    for name, kind in _KEYS.items():
        typed_value(file, document, name, kind)
    for name, keys in _TABLES.items():
        table = typed_value(file, document, name, dict) or {}
        every = dict.fromkeys(table, _OF_ALL[name]) if name in _OF_ALL else keys
        for key, kind in every.items():
            typed_value(file, table, key, kind, f"{name}.")
