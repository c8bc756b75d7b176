"""Each step of a scenario file is a class per ``do`` word, which carries itself out."""
