"""``thinsim snapshotter`` has its group here, and a module per command."""
