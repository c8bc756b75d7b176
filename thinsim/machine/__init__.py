"""A run keeps a journal of the resources that it takes from the machine, and releases them at its end."""
