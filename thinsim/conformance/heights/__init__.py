"""thinsim.conformance.heights sends the same discards to every subject and measures each height."""
