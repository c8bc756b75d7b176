"""``thinsim conformance`` has its group here, and the command that the group takes in."""
