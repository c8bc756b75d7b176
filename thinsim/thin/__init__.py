"""dm-thin as a pure library maps, allocates, shares and discards: no I/O, no clock, no processes."""
