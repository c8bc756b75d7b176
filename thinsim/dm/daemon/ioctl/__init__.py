"""An `IoctlService` answers device-mapper's ioctls (include/uapi/linux/dm-ioctl.h)."""
