"""A pool that is active: plans of the engine, carried out on its devices."""
