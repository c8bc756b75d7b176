"""These programs measure speed as ratios within one run; no test asserts their figures."""
