"""Asks a host file system what it holds for a file, and what a hole punch freed.

``interface`` says what every way of accounting answers; ``kinds`` finds the way for a directory.
"""
