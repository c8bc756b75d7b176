"""A guest needs two groups of modules: one to find its root, one for the work in it."""

from pathlib import Path

from thinsim.vm.kernels import GuestKernel

FOR_THE_ROOT = ("9p", "9pnet_virtio", "virtio_pci", "virtio_console", "overlay")
"""Modules for the copy-on-write view of this machine's files, and for the guest's output."""

FOR_THE_WORK = ("dm-thin-pool", "loop", "fuse", "ext4", "virtio_blk")

_ZSTD = ".zst"


def module_folder(kernel: GuestKernel) -> Path:
    """Return the folder of the modules of *kernel*: in ``/lib/modules``, or beside an unpacked image."""
    beside = kernel.image.parent.parent / "lib/modules" / kernel.release
    return beside if beside.is_dir() else Path("/lib/modules", kernel.release)


def lacking_modules(folder: Path) -> list[str]:
    """Return the modules that are neither built in nor present as a file."""
    files, built_in = _listed(folder, "modules.dep"), _listed(folder, "modules.builtin")
    return [
        name
        for name in (*FOR_THE_ROOT, *FOR_THE_WORK)
        if _plain(name) not in built_in
        and not (_plain(name) in files and (folder / files[_plain(name)]).is_file())
    ]


def needs_zstd(folder: Path) -> bool:
    """Return whether virtme-ng has to unpack modules with ``zstd``."""
    files = _listed(folder, "modules.dep")
    return any(files.get(_plain(name), "").endswith(_ZSTD) for name in FOR_THE_ROOT)


def _listed(folder: Path, listing: str) -> dict[str, str]:
    """Return the file of each module by its name, relative to *folder*."""
    try:
        lines = (folder / listing).read_text().splitlines()
    except OSError:
        return {}
    files = (line.partition(":")[0].strip() for line in lines)
    return {_plain(Path(file).name.partition(".ko")[0]): file for file in files if file}


def _plain(name: str) -> str:
    return name.replace("-", "_")
