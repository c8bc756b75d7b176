"""Pools that outlive the command which made them, as containerd's documentation sets them up."""
