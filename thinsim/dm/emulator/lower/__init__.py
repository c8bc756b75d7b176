"""The devices below targets: opened once, shared, reached by one interface."""
