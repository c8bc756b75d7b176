"""Answers device-mapper's ioctls (include/uapi/linux/dm-ioctl.h): the bytes, and what each command does."""
