"""`thinsim.node` looks at the storage that a machine really has, not at pools that thinsim made."""
