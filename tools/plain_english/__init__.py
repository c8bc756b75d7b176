"""The words of the project are checked here: ``python -m tools.plain_english`` lists each fault with its place."""
