"""The build compiles the C extension, and the library that stands in for /dev/mapper/control."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup

PACKAGES = (
    "on Debian and Ubuntu: apt-get install build-essential libfuse3-dev liburing-dev pkg-config python3-dev"
)


def check_libfuse() -> None:
    """End with the packages to install where pyfuse3, which pip builds next, can't be compiled."""
    try:
        subprocess.run(["pkg-config", "--cflags", "fuse3"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"pyfuse3 needs libfuse 3 with its headers and pkg-config ({error}); {PACKAGES}")


def liburing_flags(option: str) -> list[str]:
    try:
        printed = subprocess.run(
            ["pkg-config", option, "liburing"], check=True, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"thinsim needs liburing with its headers and pkg-config ({error}); {PACKAGES}")
    return shlex.split(printed)


COMPILER = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def check_compiler() -> None:
    """End with the packages to install where a C program with Python's headers can't be compiled."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if shutil.which(COMPILER[0]) is None:
        sys.exit(f"thinsim needs a C compiler (there is no {COMPILER[0]}); {PACKAGES}")
    if not headers.is_file():
        sys.exit(f"thinsim needs Python's headers (there is no {headers}); {PACKAGES}")


def accepted(*flags: str) -> list[str]:
    """Return those of *flags* that the compiler knows. Some exist for one kind of processor only."""
    found = []
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "probe.c")
        source.write_text("int probe(void) { return 0; }\n", encoding="utf-8")
        for flag in flags:
            command = [*COMPILER, "-Werror", flag, "-c", str(source), "-o", str(source.with_suffix(".o"))]
            if subprocess.run(command, check=False, capture_output=True).returncode == 0:
                found.append(flag)
    return found


def description() -> str:
    """Return README.md for a package index, without pictures and local links."""
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    text = re.sub(r"<picture>.*?</picture>\n*", "", text, flags=re.DOTALL)
    return re.sub(r"!?\[([^]]*)\]\((?!https?://)[^)]*\)", r"\1", text)


check_compiler()
check_libfuse()
NATIVE = "fuse_backing/native"
C = [
    *("-std=gnu11", "-Wall", "-Wextra", "-D_GNU_SOURCE"),
    # Fortified functions need optimisation; level 3 counts as 2 before glibc 2.34.
    *("-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3"),
    *("-fstack-protector-strong", "-Wformat", "-Wformat-security", "-Werror=format-security"),
    # The second is for x86, the third does the same on 64-bit ARM.
    *accepted("-fstack-clash-protection", "-fcf-protection", "-mbranch-protection=standard"),
]
LINK = ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]

setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    ext_modules=[
        Extension(
            "fuse_backing._native",
            sorted(map(str, Path(NATIVE).glob("*/*.c"))),
            depends=sorted(map(str, Path(NATIVE).glob("*/*.h"))),
            include_dirs=[NATIVE],
            extra_compile_args=[*liburing_flags("--cflags"), *C, "-fvisibility=hidden"],
            extra_link_args=[*liburing_flags("--libs"), *LINK],
            libraries=["pthread"],
        ),
        # This library to preload has no Python in it, but is built and installed like an extension.
        Extension(
            "thinsim.dm.dropin._dmcontrol",
            ["thinsim/dm/dropin/_dmcontrol.c"],
            extra_compile_args=C,
            extra_link_args=LINK,
            libraries=["dl"],
        ),
    ],
)
