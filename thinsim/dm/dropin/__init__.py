"""The drop-in dmsetup is the real one with a preloaded library that replaces /dev/mapper/control."""
