"""Look at a pool that runs: find it on this machine, take moments of it, show them."""
