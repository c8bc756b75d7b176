"""The emulated device-mapper has mapped devices, their tables, targets and pools."""
