"""Lists the modules that a guest loads, to find its root and for the work in it. Reads ``/lib/modules``."""

from pathlib import Path

from thinsim.vm.kernels import GuestKernel

FOR_THE_ROOT = ("9p", "9pnet_virtio", "virtio_pci", "virtio_console", "overlay")
"""This machine's files, seen copy-on-write, and the way of output out of the guest."""

FOR_THE_WORK = ("dm-thin-pool", "loop", "fuse", "ext4", "virtio_blk")

_ZSTD = ".zst"


def module_folder(kernel: GuestKernel) -> Path:
    """Return where the modules of *kernel* are: in ``/lib/modules``, or beside an unpacked image."""
    beside = kernel.image.parent.parent / "lib/modules" / kernel.release
    return beside if beside.is_dir() else Path("/lib/modules", kernel.release)


def lacking_modules(folder: Path) -> list[str]:
    """Return the modules that are neither built in nor there as a file."""
    files, built_in = _listed(folder, "modules.dep"), _listed(folder, "modules.builtin")
    return [
        name
        for name in (*FOR_THE_ROOT, *FOR_THE_WORK)
        if _plain(name) not in built_in
        and not (_plain(name) in files and (folder / files[_plain(name)]).is_file())
    ]


def needs_zstd(folder: Path) -> bool:
    """Tell whether virtme-ng has to unpack modules with ``zstd``."""
    files = _listed(folder, "modules.dep")
    return any(files.get(_plain(name), "").endswith(_ZSTD) for name in FOR_THE_ROOT)


def _listed(folder: Path, listing: str) -> dict[str, str]:
    """Return module name to file, relative to *folder*."""
    try:
        lines = (folder / listing).read_text().splitlines()
    except OSError:
        return {}
    files = (line.partition(":")[0].strip() for line in lines)
    return {_plain(Path(file).name.partition(".ko")[0]): file for file in files if file}


def _plain(name: str) -> str:
    return name.replace("-", "_")
