"""Each kind of step, a ``do`` word of a scenario file, is a class here that carries out the step."""
