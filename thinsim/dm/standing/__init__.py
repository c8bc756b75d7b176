"""The machine's one emulated device-mapper starts when first needed, and outlives its starter."""
