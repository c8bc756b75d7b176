"""Pools that outlive their command are set up here as containerd's documentation sets them up."""
