"""What a program can ask of a block device: requests of the block layer, and programs that check data."""
