"""Metadata has the kernel's on-disk format: copy-on-write btrees, space maps and transactions."""
