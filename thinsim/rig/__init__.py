"""A rig sets up a pool with its devices and backing store, and tears all of it down."""
