"""These modules read the databases of containerd, which may run meanwhile, and write nothing."""
