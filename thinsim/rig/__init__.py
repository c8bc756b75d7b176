"""Rigs: stand up a pool with its loop devices and backing store, tear all of it down, recover after a crash."""
