"""Device-mapper is one protocol here, and who implements it."""
