"""Shows what was measured, as a table for people and as JSON for programs."""
