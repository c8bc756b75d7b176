"""thinsim.conformance.answers keeps the answers of the subjects and compares them."""
