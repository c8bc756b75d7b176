"""Measures speed so that it can be compared: interleaved rounds, medians, intervals, what processes cost."""
