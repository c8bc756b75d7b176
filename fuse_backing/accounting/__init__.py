"""How a host file system accounts for a file: what it holds for the file, and what a hole punch freed of it.

``interface`` says what every way of accounting answers; ``kinds`` finds the way for a directory.
"""
