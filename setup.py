"""Builds the C extension beside pyfuse3, and the library that stands in for /dev/mapper/control."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

PACKAGES = "on Debian and Ubuntu: apt-get install build-essential libfuse3-dev pkg-config python3-dev"


def fuse3_flags(option: str) -> list[str]:
    try:
        printed = subprocess.run(
            ["pkg-config", option, "fuse3"], check=True, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"thinsim needs libfuse 3 with its headers and pkg-config ({error}); {PACKAGES}")
    return shlex.split(printed)


def check_compiler() -> None:
    """End with the packages to install where a C program with Python's headers can't be compiled."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if shutil.which(compiler[0]) is None:
        sys.exit(f"thinsim needs a C compiler (there is no {compiler[0]}); {PACKAGES}")
    if not headers.is_file():
        sys.exit(f"thinsim needs Python's headers (there is no {headers}); {PACKAGES}")


NATIVE = "fuse_backing/native"
C = ["-std=gnu11", "-Wall", "-Wextra"]


def description() -> str:
    """Return README.md for a package index, where its pictures and the pages it links to are not."""
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    return re.sub(r"!?\[([^]]*)\]\((?!https?://)[^)]*\)", r"\1", text)


check_compiler()
setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    ext_modules=[
        Extension(
            "fuse_backing._native",
            sorted(map(str, Path(NATIVE).glob("*/*.c"))),
            depends=sorted(map(str, Path(NATIVE).glob("*/*.h"))),
            include_dirs=[NATIVE],
            extra_compile_args=[
                *fuse3_flags("--cflags"),
                "-std=gnu11",
                "-Wall",
                "-Wextra",
                "-fvisibility=hidden",
                "-D_GNU_SOURCE",
            ],
            libraries=["dl", "pthread"],
        ),
        # No Python in it: a library to preload, built and installed as extensions are.
        Extension(
            "thinsim.dm.dropin._dmcontrol",
            ["thinsim/dm/dropin/_dmcontrol.c"],
            extra_compile_args=C,
            libraries=["dl"],
        ),
    ],
)
