"""Shows the report as one page, which opens from disk, fetches nothing and runs no script."""
