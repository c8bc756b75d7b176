"""Gives the tests of other projects a rig behind plain calls. The pytest plugin gives it out as fixtures."""
