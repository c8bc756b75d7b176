"""A scenario drives a snapshotter phase by phase: it imports an image, runs a container and removes both."""
