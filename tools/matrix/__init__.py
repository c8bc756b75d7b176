"""``python -m tools.matrix`` runs what a newcomer runs on each supported system, in a root of its own."""
