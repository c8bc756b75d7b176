"""The steps of a scenario file: a class per ``do`` word, which carries itself out."""
