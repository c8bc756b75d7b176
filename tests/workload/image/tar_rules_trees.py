"""The rules here concern the tree that entries make: names, links, replaced entries, whiteouts, depth."""

from tests.workload.image.tar_building import archive, directory, file, hard_link, header, pax, symlink
from tests.workload.image.tar_rules_headers import Rules, one


def under(*parts: bytes, lower: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return two layers."""
    return archive(lower), archive(parts)


def _deep(levels: int, name: bytes = b"d") -> bytes:
    return b"/".join([name] * levels)


def _named(path: bytes, *rest: bytes) -> tuple[bytes, ...]:
    return one(pax((b"path", path)), file(b"f", b"x"), *rest)


NAMES: Rules = {
    "name that is absolute": one(file(b"/a/f", b"x")),
    "name with a dot": one(file(b"./a/./f", b"x")),
    "name with dots": one(file(b"../../f", b"x")),
    "name with dots within": one(file(b"a/b/../f", b"x")),
    "name with dots over a symlink": one(symlink(b"s", b"a/b"), directory(b"a/b/"), file(b"s/../f", b"x")),
    "name with slashes": one(file(b"a//b///f", b"x")),
    "name that is the root": one(directory(b"./", 0o700, mtime=5), directory(b"/", 0o711)),
    "name that is dots only": one(file(b"..", b"x")),
    "name that is empty": one(file(b"", b"x")),
    "name of a directory with many slashes": one(directory(b"d///")),
    "name of 255 bytes": _named(b"n" * 255),
    "name of 256 bytes": _named(b"n" * 256),
    "directory name of 256 bytes": _named(b"n" * 256 + b"/f"),
    "name of 255 bytes of UTF-8": _named("é".encode() * 127 + b"n"),
    "path of 3500 bytes": _named(_deep(35, b"d" * 99)),
    "path of 1750 levels": _named(_deep(1750)),
    "path of 2048 levels": _named(_deep(2048)),
    "path of 5000 bytes": _named(_deep(2500)),
    "path of 70000 bytes": _named(_deep(35000)),
    "path of 5000 bytes that is short when clean": _named(b"a/../" * 1000 + b"f"),
    "path of 300 levels": _named(_deep(300)),
    "directory of 1000 levels with its attributes": one(
        pax((b"path", _deep(1000))),
        directory(b"d/", 0o700, uid=7),
        pax((b"path", _deep(1000) + b"/f")),
        file(b"f"),
    ),
    "path of 3000 levels in pieces": one(
        pax((b"path", _deep(1500))),
        directory(b"d/"),
        pax((b"linkpath", _deep(1500))),
        symlink(b"s", b""),
        pax((b"path", b"s/" + _deep(1500))),
        file(b"f", b"x"),
    ),
    "link name of 4095 bytes": one(pax((b"linkpath", b"t" * 4095)), symlink(b"s", b"")),
    "link name of 4096 bytes": one(pax((b"linkpath", b"t" * 4096)), symlink(b"s", b"")),
    "file below a file": one(file(b"f", b"x"), file(b"f/g", b"y")),
    "file below a fifo": one(header(b"p", type=b"6"), file(b"p/g", b"y")),
    "directory that is given twice": one(directory(b"d/", 0o755, mtime=5), directory(b"d/", 0o700, mtime=7)),
    "file that is given twice": one(file(b"f", b"old", mode=0o600), file(b"f", b"new")),
    "file instead of a directory": one(directory(b"d/"), file(b"d/f", b"x"), file(b"d", b"y")),
    "directory instead of a file": one(file(b"d", b"x"), directory(b"d/"), file(b"d/f", b"y")),
    "symlink instead of a directory": one(directory(b"d/", mtime=5), symlink(b"d", b"e"), directory(b"e/")),
    "directory instead of a symlink": one(
        symlink(b"d", b"e"), directory(b"e/"), directory(b"d/"), file(b"d/f")
    ),
    "directory time after its content": one(
        directory(b"d/", mtime=5), directory(b"d/e/"), file(b"d/e/f", b"x")
    ),
    "directory that is closed": one(directory(b"d/", 0), file(b"d/f", b"x", mode=0)),
}
LINKS: Rules = {
    "hard link": one(file(b"f", b"x"), hard_link(b"h", b"f")),
    "hard link with attributes of its own": one(
        file(b"f", b"x"), hard_link(b"h", b"f", mode=0o600, uid=3, mtime=5)
    ),
    "hard link to a hard link": one(file(b"f", b"x"), hard_link(b"g", b"f"), hard_link(b"h", b"g")),
    "hard link to a symlink": one(symlink(b"s", b"after"), hard_link(b"h", b"s")),
    "hard link to a symlink that leads nowhere": one(symlink(b"s", b"nowhere"), hard_link(b"h", b"s")),
    "hard link to a fifo": one(header(b"p", type=b"6"), hard_link(b"h", b"p")),
    "hard link to a directory": one(directory(b"d/"), hard_link(b"h", b"d")),
    "hard link to itself": one(file(b"f", b"x"), hard_link(b"f", b"f")),
    "hard link to what comes later": one(hard_link(b"h", b"f"), file(b"f", b"x")),
    "hard link to nothing": one(hard_link(b"h", b"f")),
    "hard link to the root": one(hard_link(b"h", b"/")),
    "hard link that is absolute": one(file(b"a/f", b"x"), hard_link(b"h", b"/a/f")),
    "hard link with dots": one(file(b"a/f", b"x"), hard_link(b"a/h", b"../../a/f")),
    "hard link with dots over a symlink": one(
        directory(b"a/b/"), symlink(b"s", b"a/b"), file(b"a/f", b"x"), hard_link(b"h", b"s/../f")
    ),
    "hard link with dots over nothing": one(file(b"f", b"x"), hard_link(b"h", b"none/../f")),
    "hard link with a slash at the end": one(file(b"f", b"x"), hard_link(b"h", b"f/")),
    "hard link with a dot at the end": one(file(b"f", b"x"), hard_link(b"h", b"f/.")),
    "hard link through a symlink": one(
        directory(b"d/"), file(b"d/f", b"x"), symlink(b"s", b"d"), hard_link(b"h", b"s/f")
    ),
    "hard link to a file of a lower layer": under(hard_link(b"h", b"f"), lower=(file(b"f", b"x"),)),
    "hard link of 4096 bytes": one(
        file(b"f", b"x"), pax((b"linkpath", b"./" * 2100 + b"f")), hard_link(b"h", b"")
    ),
    "hard link instead of a file": one(file(b"f", b"x"), file(b"h", b"y"), hard_link(b"h", b"f")),
    "file instead of a hard link": one(file(b"f", b"x"), hard_link(b"h", b"f"), file(b"f", b"y")),
    "symlink as a parent": one(symlink(b"s", b"d"), directory(b"d/"), file(b"s/f", b"x")),
    "symlink to nothing as a parent": one(symlink(b"s", b"d/e"), file(b"s/f", b"x")),
    "symlink that is absolute as a parent": one(symlink(b"s", b"/d"), file(b"s/f", b"x")),
    "symlink out of the root as a parent": one(symlink(b"s", b"../../../d"), file(b"s/f", b"x")),
    "symlink to itself as a parent": one(symlink(b"s", b"s"), file(b"s/f", b"x")),
    "symlink to a file as a parent": one(file(b"g", b"y"), symlink(b"s", b"g"), file(b"s/f", b"x")),
    "symlink to the root": one(symlink(b"s", b"/"), file(b"s/f", b"x")),
    "symlink to the root as a directory": one(symlink(b"s", b"/"), directory(b"s/.", 0o700)),
    "symlink to symlinks as a parent": one(
        *(symlink(b"s%d" % number, b"s%d" % (number + 1)) for number in range(30)),
        directory(b"s30/"),
        file(b"s0/f", b"x"),
    ),
    "symlinks, 255 of them": one(
        *(symlink(b"s%d" % number, b"s%d" % (number + 1)) for number in range(255)), file(b"s0/f", b"x")
    ),
    "symlinks, 256 of them": one(
        *(symlink(b"s%d" % number, b"s%d" % (number + 1)) for number in range(256)), file(b"s0/f", b"x")
    ),
    "symlink replaced by a file": one(symlink(b"s", b"after"), file(b"s", b"x")),
}
_TREE = (directory(b"d/"), file(b"d/f", b"x"), directory(b"d/e/"), file(b"d/e/g", b"y"))
WHITEOUTS: Rules = {
    "whiteout of a file": under(file(b"d/.wh.f"), lower=_TREE),
    "whiteout of a directory": under(file(b".wh.d"), lower=_TREE),
    "whiteout of nothing": under(file(b"d/.wh.none"), lower=_TREE),
    "whiteout in a directory that is not there": under(file(b"n/.wh.none"), lower=_TREE),
    "whiteout of no name": under(file(b"d/.wh."), lower=_TREE),
    "whiteout of a dot": under(file(b"d/.wh.."), lower=_TREE),
    "whiteout of dots": under(file(b"d/.wh..."), lower=_TREE),
    "whiteout of no name in the root": under(file(b".wh."), lower=_TREE),
    "whiteout of a whiteout": under(file(b"d/.wh..wh.f"), lower=_TREE),
    "whiteout of type 5": under(directory(b"d/.wh.f/"), lower=_TREE),
    "whiteout of type 2": under(symlink(b"d/.wh.f", b"x"), lower=_TREE),
    "whiteout with content": under(file(b"d/.wh.f", b"content"), lower=_TREE),
    "whiteout and the file again": under(file(b"d/.wh.f"), file(b"d/f", b"new"), lower=_TREE),
    "whiteout through a symlink": under(file(b"s/.wh.f"), lower=(*_TREE, symlink(b"s", b"d"))),
    "whiteout of a symlink": under(file(b".wh.s"), lower=(*_TREE, symlink(b"s", b"d"))),
    "whiteout of one hard link": under(file(b".wh.h"), lower=(*_TREE, hard_link(b"h", b"d/f"))),
    "whiteout of a tree of 1500 levels": under(
        file(b".wh.d"), lower=(pax((b"path", _deep(1500))), file(b"f", b"x"))
    ),
    "whiteout of a name of 255 bytes": under(
        pax((b"path", b".wh." + b"n" * 255)), file(b"w"), lower=(pax((b"path", b"n" * 255)), file(b"f", b"x"))
    ),
    "opaque directory": under(file(b"d/.wh..wh..opq"), file(b"d/new", b"z"), lower=_TREE),
    "opaque directory after its content": under(
        file(b"d/new", b"z"), file(b"d/e/new", b"z"), file(b"d/.wh..wh..opq"), lower=_TREE
    ),
    "opaque directory that is new": under(file(b"n/.wh..wh..opq"), file(b"n/f", b"z"), lower=_TREE),
    "opaque root": under(file(b".wh..wh..opq"), file(b"new", b"z"), lower=_TREE),
    "opaque directory of 1000 levels": under(
        file(b"d/.wh..wh..opq"), lower=(pax((b"path", _deep(1000))), file(b"f", b"x"))
    ),
    "opaque marker of type 5": under(directory(b"d/.wh..wh..opq/"), lower=_TREE),
    "opaque directory through a symlink": under(file(b"s/.wh..wh..opq"), lower=(*_TREE, symlink(b"s", b"d"))),
    "aufs's link directory": under(directory(b".wh..wh.plnk/"), file(b".wh..wh.plnk/1.2", b"x"), lower=_TREE),
    "aufs's file": under(file(b".wh..wh.aufs"), lower=_TREE),
    "whiteout of what the layer brought": under(file(b"d/new", b"z"), file(b"d/.wh.new"), lower=_TREE),
    "file instead of a lower directory": under(file(b"d", b"z"), lower=_TREE),
    "directory instead of a lower file": under(directory(b"d/f/"), lower=_TREE),
    "directory kept with new attributes": under(directory(b"d/", 0o700, uid=5, mtime=9), lower=_TREE),
    "file instead of a tree of 1500 levels": under(
        file(b"d", b"z"), lower=(pax((b"path", _deep(1500))), file(b"f", b"x"))
    ),
    "directory instead of a lower symlink": under(
        directory(b"s/"), file(b"s/f", b"z"), lower=(*_TREE, symlink(b"s", b"d"))
    ),
    "directory that the layer itself removes": under(directory(b"n/", mtime=5), file(b".wh.n"), lower=_TREE),
}

RULES: Rules = {**NAMES, **LINKS, **WHITEOUTS}
