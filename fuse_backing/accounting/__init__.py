"""`HostAccounting` measures the bytes that a host holds for a file, and the bytes that a punch frees.

``interface`` has the protocol of each kind of accounting; ``kinds`` finds the kind for a directory.
"""
