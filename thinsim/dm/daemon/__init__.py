"""The emulated device-mapper's process: pools and thin devices, served as files under loop devices."""
