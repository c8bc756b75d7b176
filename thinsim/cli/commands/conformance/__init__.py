"""``thinsim conformance`` is a group and its commands."""
