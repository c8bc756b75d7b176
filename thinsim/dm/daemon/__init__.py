"""The emulated device-mapper's process serves pools and thin devices as files under loop devices."""
