"""The emulated device-mapper's daemon serves pools and thin devices as files for loop devices."""
