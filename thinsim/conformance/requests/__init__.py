"""thinsim.conformance.requests sends requests to block devices, and runs programs that check their data."""
