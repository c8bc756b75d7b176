"""dm-thin as a pure library: mapping, allocation, sharing, discard. No I/O, no clock, no processes."""
