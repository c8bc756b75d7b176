"""Subjects answer a history: the kernel, the emulated device-mapper, the engine."""
