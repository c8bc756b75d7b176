"""Compares what one subject answered with what another did."""
