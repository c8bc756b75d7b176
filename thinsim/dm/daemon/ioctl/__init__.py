"""Device-mapper's ioctl interface (include/uapi/linux/dm-ioctl.h): the bytes, and what each command does."""
