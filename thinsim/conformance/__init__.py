"""The emulated dm-thin against the kernel's: the same history on both, every answer compared."""
