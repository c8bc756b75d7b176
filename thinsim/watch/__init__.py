"""Watches a pool that runs: finds it on this machine, takes moments of it, shows them."""
