"""A guest is a throw-away VM in which this package runs scenarios and reproductions."""
