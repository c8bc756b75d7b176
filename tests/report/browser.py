"""`CHROMIUM` is the browser in which tests look at reports."""

import shutil

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The path of its program, or None if this machine has none."""
