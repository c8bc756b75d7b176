"""What a run takes from the machine, and how it is given back."""
