"""The report as one page: opens from disk, fetches nothing, runs no script."""
