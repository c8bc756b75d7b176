"""These programs measure, as ratios within one run; nothing here is asserted by a test."""
