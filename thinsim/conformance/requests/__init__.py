"""Sends what a program can ask of a block device: requests of the block layer, programs that check data."""
