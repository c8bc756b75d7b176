"""Device-mapper: one protocol, and who implements it."""
