"""A pool that is active has plans of the engine carried out on its devices."""
