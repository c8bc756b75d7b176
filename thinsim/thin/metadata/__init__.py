"""Metadata has the kernel's own on-disk form: copy-on-write btrees, space maps, transactions."""
