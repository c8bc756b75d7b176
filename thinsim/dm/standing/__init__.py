"""The machine's one emulated device-mapper: started when first needed, outlives who started it."""
