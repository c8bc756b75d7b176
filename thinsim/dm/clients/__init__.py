"""Clients send the device-mapper verbs to the kernel's dmsetup or to the emulated device-mapper's socket."""
