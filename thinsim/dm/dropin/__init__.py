"""The drop-in dmsetup: the real one, with a library that stands in for /dev/mapper/control."""
