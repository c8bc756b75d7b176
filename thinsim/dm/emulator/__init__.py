"""The emulated device-mapper consists of mapped devices, their tables, targets and pools."""
