"""``thinsim snapshotter`` is a group with a module per command."""
