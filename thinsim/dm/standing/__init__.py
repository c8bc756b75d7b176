"""The machine's one emulated device-mapper is started when first needed, and outlives who started it."""
