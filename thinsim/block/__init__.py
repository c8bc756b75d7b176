"""Block devices lie below a thin pool: one protocol, and the devices that stand behind it."""
