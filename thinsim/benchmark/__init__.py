"""A benchmark measures contenders in interleaved rounds, and compares medians with intervals."""
