"""`LOADED` and `REFUSED` have configuration files, and the settings in containerd 1.6.20 and 2.1.9.

They were recorded by starting both releases with each file and with a dmsetup that accepts every command:
the place of the plugin's files, and the size of the first device in sectors.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PLUGIN = "io.containerd.snapshotter.v1.devmapper"
TABLE = f'[plugins."{PLUGIN}"]\n'
KEYS = 'pool_name = "p"\nbase_image_size = "64MB"\n'
ROOT = f"{{here}}/root/{PLUGIN}"
"""The plugin's directory without a root_path; containerd is started with --root {here}/root."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A `Loaded` is a file that the releases in *by* load; ``{here}`` is the directory of the files."""

    text: str
    files: dict[str, str] = field(default_factory=dict)
    pool: str = "p"
    sectors: int = 131072
    root: str = ROOT
    own_root: bool = False
    by: tuple[str, ...] = ("1.6", "2.1")
    settings: dict[str, Any] = field(default_factory=dict)

    def write(self, here: Path) -> Path:
        """Write all files below *here* and return the path of the one that is loaded."""
        for name, text in {"config.toml": self.text, **self.files}.items():
            file = here / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("{here}", str(here)), encoding="utf-8", newline="")
        return here / "config.toml"


def sized(text: str) -> str:
    return f'version = 2\n{TABLE}pool_name = "p"\nbase_image_size = "{text}"\n'


OTHER = f'version = 2\n{TABLE}pool_name = "q"\nbase_image_size = "32MB"\n'

LOADED: dict[str, Loaded] = {
    "version 1 by default": Loaded(f'[debug]\nlevel = "info"\n[plugins.devmapper]\n{KEYS}'),
    "version 1": Loaded(f"version = 1\n[plugins.devmapper]\n{KEYS}"),
    "version 0": Loaded(f"version = 0\n[plugins.devmapper]\n{KEYS}"),
    "version 2": Loaded(f"version = 2\n{TABLE}{KEYS}"),
    "version 3": Loaded(f"version = 3\n{TABLE}{KEYS}"),
    "version 4": Loaded(f"version = 4\n{TABLE}{KEYS}", by=("1.6",)),
    "version 5": Loaded(f"version = 5\n{TABLE}{KEYS}", by=("1.6",)),
    "version -1": Loaded(f"version = -1\n{TABLE}{KEYS}", by=("1.6",)),
    "the whole name in version 1": Loaded(TABLE + KEYS, by=("2.1",)),
    "both names in version 1": Loaded(
        f"{OTHER.replace('version = 2', 'version = 1')}[plugins.devmapper]\n{KEYS}", by=("1.6",)
    ),
    "an empty root_path": Loaded(f'version = 2\n{TABLE}{KEYS}root_path = ""\n'),
    "a root_path": Loaded(f'version = 2\n{TABLE}{KEYS}root_path = "{{here}}/dm"\n', root="{here}/dm"),
    "the directory itself": Loaded(f'version = 2\n{TABLE}{KEYS}root_path = "."\n', root="{here}"),
    "the directory itself with a slash": Loaded(
        f'version = 2\n{TABLE}{KEYS}root_path = "./"\n', root="{here}"
    ),
    "down and up again": Loaded(f'version = 2\n{TABLE}{KEYS}root_path = "x/.."\n', root="{here}"),
    "a relative root_path": Loaded(f'version = 2\n{TABLE}{KEYS}root_path = "x/y"\n', root="x/y"),
    "containerd's root": Loaded(
        f'version = 2\nroot = "{{here}}/cd"\n{TABLE}{KEYS}', root=f"{{here}}/cd/{PLUGIN}", own_root=True
    ),
    "an imported root": Loaded(
        f'version = 2\nroot = "{{here}}/cd"\nimports = ["b.toml"]\n{TABLE}{KEYS}',
        {"b.toml": 'version = 2\nroot = "{here}/other"\n'},
        root=f"{{here}}/other/{PLUGIN}",
        own_root=True,
    ),
    "all keys": Loaded(
        f"version = 2\n{TABLE}{KEYS}async_remove = true\ndiscard_blocks = true\n"
        'fs_type = "xfs"\nfs_options = "o"\n',
        settings={"async_remove": True, "discard_blocks": True, "fs_type": "xfs", "fs_options": "o"},
    ),
    "no file system": Loaded(f'version = 2\n{TABLE}{KEYS}fs_type = ""\n', settings={"fs_type": "ext4"}),
    "ext2": Loaded(
        f'version = 2\n{TABLE}{KEYS}fs_type = "ext2"\n', settings={"fs_type": "ext2"}, by=("2.1",)
    ),
    "an unknown key": Loaded(f"version = 2\n{TABLE}{KEYS}zap = 1\n"),
    "all of containerd's own keys": Loaded(
        'version = 2\nplugin_dir = ""\ntemp = "tmp"\noom_score = -999\n'
        '[grpc]\ntcp_address = ""\nuid = 0\ngid = 0\nmax_recv_message_size = 16777216\n'
        '[ttrpc]\nuid = 0\n[debug]\nlevel = "debug"\nformat = "json"\n[metrics]\naddress = ""\n'
        'grpc_histogram = false\n[cgroup]\npath = ""\n[timeouts]\n'
        f'"io.containerd.timeout.shim.load" = "5s"\n[stream_processors]\n[proxy_plugins]\n{TABLE}{KEYS}'
    ),
    "capitals": Loaded(f'version = 2\n{TABLE}POOL_NAME = "p"\nbase_image_size = "64MB"\n'),
    "mixed capitals": Loaded(f'version = 2\n{TABLE}Pool_Name = "p"\nBase_image_size = "64MB"\n', by=("2.1",)),
    "dotted keys": Loaded(
        f'version = 2\nplugins."{PLUGIN}".pool_name = "p"\nplugins."{PLUGIN}".base_image_size = "64MB"\n'
    ),
    "line ends of Windows": Loaded(f"version = 2\n{TABLE}{KEYS}".replace("\n", "\r\n")),
    "a byte order mark": Loaded(f"\ufeffversion = 2\n{TABLE}{KEYS}", by=("1.6",)),
    "two points in a root_path": Loaded(
        f'version = 2\n{TABLE}{KEYS}root_path = "{{here}}/x/../y/"\n', root="{here}/y"
    ),
    "an inline table over lines": Loaded(
        f'version = 2\n[plugins]\n"{PLUGIN}" = {{pool_name = "p",\n base_image_size = "64MB"}}\n'
    ),
    "an inline table with a last comma": Loaded(
        f'version = 2\n[plugins]\n"{PLUGIN}" = {{pool_name = "p", base_image_size = "64MB",}}\n', by=("2.1",)
    ),
    "an escape of TOML 1.1": Loaded(
        f'version = 2\n{TABLE}pool_name = "\\x70"\nbase_image_size = "64MB"\n', by=("2.1",)
    ),
    "a control character in a comment": Loaded(f"version = 2\n# \x01\n{TABLE}{KEYS}", by=("1.6",)),
    "line ends of old": Loaded(f"version = 2\r{TABLE}{KEYS}", by=("1.6",)),
    "imports a file": Loaded(
        'version = 2\nimports = ["conf.d/a.toml"]\n',
        {
            "conf.d/a.toml": 'version = 2\nimports = ["b.toml"]\n',
            "conf.d/b.toml": f"version = 2\n{TABLE}{KEYS}",
        },
    ),
    "imports a pattern": Loaded(
        'version = 2\nimports = ["{here}/conf.d/*.toml"]\n',
        {"conf.d/a.toml": OTHER, "conf.d/b.toml": f"version = 2\n{TABLE}{KEYS}", "conf.d/c.txt": "no TOML"},
    ),
    "imports a relative pattern": Loaded(
        'version = 2\nimports = ["conf.d/[^x]*.toml"]\n',
        {"conf.d/.a.toml": f"version = 2\n{TABLE}{KEYS}", "conf.d/x.toml": OTHER},
    ),
    "a pattern without files": Loaded(f'version = 2\nimports = ["none/*.toml"]\n{TABLE}{KEYS}'),
    "imports in a circle": Loaded(
        f'version = 2\nimports = ["{{here}}/config.toml", "b.toml"]\n{TABLE}{KEYS}',
        {"b.toml": 'version = 2\nimports = ["config.toml"]\n'},
    ),
    "imports version 1": Loaded(
        'version = 2\nimports = ["b.toml"]\n', {"b.toml": f"[plugins.devmapper]\n{KEYS}"}, by=("2.1",)
    ),
    "version 1 imports version 2": Loaded(
        'imports = ["b.toml"]\n', {"b.toml": f"version = 2\n{TABLE}{KEYS}"}
    ),
    "an import overrides": Loaded(
        f'version = 2\nimports = ["b.toml"]\n{TABLE}{KEYS}', {"b.toml": OTHER}, pool="q", sectors=65536
    ),
    "an import completes": Loaded(
        f'version = 2\nimports = ["b.toml"]\n{TABLE}{KEYS}discard_blocks = true\n',
        {"b.toml": f'version = 2\n{TABLE}pool_name = "q"\n'},
        pool="q",
        settings={"discard_blocks": True},
        by=("2.1",),
    ),
    "version 3 joins": Loaded(
        f'version = 3\nimports = ["b.toml"]\n{TABLE}{KEYS}discard_blocks = true\n',
        {"b.toml": OTHER},
        pool="q",
        sectors=65536,
        settings={"discard_blocks": True},
        by=("2.1",),
    ),
    **{
        f"a size of {text!r}": Loaded(sized(text), sectors=sectors, by=by)
        for text, sectors, by in [
            ("128Mb", 262144, ("1.6", "2.1")),
            ("1.5GiB", 3145728, ("1.6", "2.1")),
            ("10 gb", 20971520, ("1.6", "2.1")),
            ("10G", 20971520, ("1.6", "2.1")),
            ("10gIb", 20971520, ("1.6", "2.1")),
            ("1P", 2199023255552, ("1.6", "2.1")),
            ("134217728", 262144, ("1.6", "2.1")),
            ("134217728 B", 262144, ("1.6", "2.1")),
            ("513", 1, ("1.6", "2.1")),
            ("10Gi", 20971520, ("1.6",)),
            ("1024ib", 2, ("1.6",)),
            (".5g", 1048576, ("2.1",)),
            ("5.g", 10485760, ("2.1",)),
            ("+5g", 10485760, ("2.1",)),
            ("1e8", 195312, ("2.1",)),
            ("0x1p27", 262144, ("2.1",)),
            ("1_000_000", 1953, ("2.1",)),
        ]
    },
}

REFUSED: dict[str, tuple[Loaded, str]] = {
    "an empty file": (Loaded(""), r"no table \[plugins.*add it, with pool_name and base_image_size"),
    "no devmapper": (Loaded("version = 2\n[plugins]\n"), "no table .*add it"),
    "the short name in version 2": (
        Loaded(f"version = 2\n[plugins.devmapper]\n{KEYS}"),
        r"version 2 uses this name for \[plugins.devmapper\]; rename the table",
    ),
    "keys outside of the table": (
        Loaded(f"version = 2\n{KEYS}"),
        "no table .*add it and move these keys into it",
    ),
    "no pool_name": (Loaded(f'version = 2\n{TABLE}base_image_size = "1G"\n'), "pool_name is required"),
    "no base_image_size": (Loaded(f'version = 2\n{TABLE}pool_name = "p"\n'), "base_image_size is required"),
    "an empty size": (Loaded(sized("")), "base_image_size is required"),
    "a number for a size": (
        Loaded(f'version = 2\n{TABLE}pool_name = "p"\nbase_image_size = 134217728\n'),
        'base_image_size must be a string, not 134217728: write base_image_size = "134217728"',
    ),
    "a size below 0": (Loaded(sized("-1")), "base_image_size: invalid size: '-1' is negative"),
    "no size": (Loaded(sized("junk")), "base_image_size: invalid size: 'junk'"),
    "two blanks": (Loaded(sized("10  gb")), "invalid size: '10  gb'"),
    "a blank at the end": (Loaded(sized("10 GB ")), "invalid size"),
    "two points": (Loaded(sized("1.2.3m")), "invalid size: '1.2.3m'"),
    "exbibytes": (Loaded(sized("10Eb")), "invalid size: '10Eb': 'Eb' is not a unit"),
    "text for truth": (
        Loaded(f'version = 2\n{TABLE}{KEYS}async_remove = "true"\n'),
        "async_remove must be true or false, not 'true'",
    ),
    "a number for truth": (
        Loaded(f"version = 2\n{TABLE}{KEYS}discard_blocks = 1\n"),
        "discard_blocks must be true or false, not 1",
    ),
    "a number for a pool": (
        Loaded(f'version = 2\n{TABLE}pool_name = 3\nbase_image_size = "1G"\n'),
        "pool_name must be a string, not 3",
    ),
    "a number for a root_path": (
        Loaded(f"version = 2\n{TABLE}{KEYS}root_path = 1\n"),
        "root_path must be a string, not 1",
    ),
    "a path for a pool": (
        Loaded(f'version = 2\n{TABLE}pool_name = "/dev/mapper/p"\nbase_image_size = "1G"\n'),
        "pool_name must not contain a directory",
    ),
    "btrfs": (
        Loaded(f'version = 2\n{TABLE}{KEYS}fs_type = "btrfs"\n'),
        "fs_type must be one of ext4, xfs, ext2",
    ),
    "XFS": (Loaded(f'version = 2\n{TABLE}{KEYS}fs_type = "XFS"\n'), "fs_type must be one of"),
    "no table": (Loaded(f'version = 2\n[plugins]\n"{PLUGIN}" = 3\n'), "must be a table, not 3"),
    "text for a version": (Loaded(f'version = "2"\n{TABLE}{KEYS}'), "version must be a number, not '2'"),
    "a fraction for a version": (
        Loaded(f"version = 2.0\n{TABLE}{KEYS}"),
        "version must be a number, not 2.0",
    ),
    "a number for the root": (
        Loaded(f"version = 2\nroot = 3\n{TABLE}{KEYS}"),
        "root must be a string, not 3",
    ),
    "one directory for both": (
        Loaded(
            f'version = 2\nroot = "{{here}}/state"\nstate = "{{here}}/state"\n{TABLE}{KEYS}', own_root=True
        ),
        "root and state must be different directories",
    ),
    "a short name disabled": (
        Loaded(f'version = 2\ndisabled_plugins = ["devmapper"]\n{TABLE}{KEYS}'),
        f"disabled_plugins: .*full name, such as '{PLUGIN}', not 'devmapper'",
    ),
    "text for imports": (
        Loaded(f'version = 2\nimports = "a.toml"\n{TABLE}{KEYS}'),
        "imports must be a list of strings, not 'a.toml'",
    ),
    "an import that does not exist": (
        Loaded(f'version = 2\nimports = ["a.toml"]\n{TABLE}{KEYS}'),
        "imports 'a.toml', but .*a.toml does not exist",
    ),
    "an import that is not TOML": (
        Loaded('version = 2\nimports = ["b.toml"]\n', {"b.toml": "a = \n"}),
        r"b.toml: not a TOML file: .*line 1",
    ),
    "no TOML": (Loaded(f"version = 2\n{TABLE}pool_name = p\n"), "config.toml: not a TOML file: .*line 3"),
    "more levels than a file has": (Loaded("a = " + "[" * 100_000), "config.toml: not a TOML file: .*nested"),
    "a version that no computer can have": (
        Loaded(f"version = {1 << 70}\n{TABLE}{KEYS}"),
        "version must fit 63 bits, not 1180591620717411303424",
    ),
    "a NUL in a root_path": (
        Loaded(f'version = 2\n{TABLE}{KEYS}root_path = "a\\u0000b"\n'),
        r"root_path must not contain a NUL: 'a\\x00b'",
    ),
    "a NUL in a pool_name": (
        Loaded(f'version = 2\n{TABLE}pool_name = "a\\u0000"\nbase_image_size = "1G"\n'),
        r"pool_name must not contain a NUL: 'a\\x00'",
    ),
    **{
        f"a size of {text!r}": (Loaded(sized(text)), problem)
        for text, problem in [
            ("0x.p1", r"invalid size: '0x\.p1'"),
            ("0x1.2.3p4", r"invalid size: '0x1\.2\.3p4'"),
            ("0x1p99999", "invalid size: '0x1p99999' does not fit 63 bits"),
        ]
    },
    **{
        f"of another type: {text!r}": (Loaded(f"version = 2\n{text}\n{TABLE}{KEYS}"), problem)
        for text, problem in [
            ('oom_score = "x"', "oom_score must be a number, not 'x'"),
            ("oom_score = 1.0", r"oom_score must be a number, not 1\.0"),
            ("plugin_dir = 3", "plugin_dir must be a string, not 3"),
            ('debug = "info"', "debug must be a table, not 'info'"),
            ("[debug]\nlevel = 5", r"debug\.level must be a string, not 5"),
            ("[grpc]\naddress = 3", r"grpc\.address must be a string, not 3"),
            ('[grpc]\nuid = "0"', r"grpc\.uid must be a number, not '0'"),
            ("[metrics]\ngrpc_histogram = 1", r"metrics\.grpc_histogram must be true or false, not 1"),
            ("[timeouts]\na = 5", r"timeouts\.a must be a string, not 5"),
            ("[proxy_plugins]\nx = 3", r"proxy_plugins\.x must be a table, not 3"),
        ]
    },
    "a key twice": (Loaded(f'version = 2\n{TABLE}{KEYS}pool_name = "q"\n'), "not a TOML file: .*line 5"),
}
"""Files with which neither release starts a devmapper snapshotter, and thinsim's error for each."""
