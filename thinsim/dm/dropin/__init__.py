"""The drop-in dmsetup is the real one, with a library that stands in for /dev/mapper/control."""
