"""Rigs: a pool with its loop devices and backing store; set-up, tear-down, recovery after a crash."""
