"""``python -m tools.plain_english`` lists each fault in the words of the project, with its place."""
