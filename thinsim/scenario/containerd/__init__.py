"""The unmodified containerd runs the container lifecycle, with one of two snapshotter plugins."""
