"""Clients speak the device-mapper protocol: to the kernel's dmsetup, or the socket of the emulated one."""
