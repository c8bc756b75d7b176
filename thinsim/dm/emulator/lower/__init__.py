"""The devices below targets are opened once, shared, and reached by one interface."""
