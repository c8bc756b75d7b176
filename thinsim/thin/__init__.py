"""The engine is dm-thin as a pure library: no I/O on the data, no clock, no processes."""
