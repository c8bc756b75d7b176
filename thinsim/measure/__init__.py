"""These modules measure one discard at four heights and name the owner of each byte lost in between."""
