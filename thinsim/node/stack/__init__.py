"""`thinsim.node.stack` follows a mount, a file or a device down to the disk, and discards on that way."""
