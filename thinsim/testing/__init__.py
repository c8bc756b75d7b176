"""Tests of other projects use a rig through plain calls. The pytest plugin provides it as fixtures."""
