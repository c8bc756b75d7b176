"""The block devices below a thin pool implement one protocol, `BlockDevice`."""
