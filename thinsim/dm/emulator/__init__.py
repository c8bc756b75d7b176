"""The emulated device-mapper: mapped devices, their tables, targets and pools."""
