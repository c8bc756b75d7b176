"""Each command has a module or a folder, imported when it is called."""
