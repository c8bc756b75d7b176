"""The workload writes to a snapshot: files, images, a recorded block history."""
