"""Compares the emulated dm-thin with the kernel's: the same history on both, every answer."""
