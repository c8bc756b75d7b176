"""Device-mapper is one protocol here, with several implementations."""
