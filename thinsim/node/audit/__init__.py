"""An audit shows who owns what on a node, and what is lost, and changes nothing."""
