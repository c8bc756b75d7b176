"""fuse_backing is a FUSE file system of sparse files that reports every hole punch.

This package knows nothing of thin pools: it serves files, passes ``fallocate`` down to the host,
and keeps a ledger of the bytes that each punch freed on the host.
"""
