"""`render` makes a report one page, which opens from disk, fetches nothing and runs no script."""
