"""A `Watch` shows a running pool of this machine: its figures and its newest discards."""
