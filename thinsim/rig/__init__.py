"""Rigs give a pool with loop devices and backing store: set-up, tear-down, recovery after a crash."""
