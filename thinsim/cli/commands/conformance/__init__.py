"""The commands of ``thinsim conformance``."""
