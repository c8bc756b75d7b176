"""A subject runs a history and answers it: the kernel, the emulated device-mapper, or the engine."""
