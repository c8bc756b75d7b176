"""Who speaks the device-mapper protocol: the kernel's dmsetup, and the socket of the emulated one."""
