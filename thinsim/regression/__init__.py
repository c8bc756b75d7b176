"""A stored baseline shows which runs leak more, break an assert or became slower."""
