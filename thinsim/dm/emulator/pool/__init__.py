"""An active pool carries out the engine's plans on its devices."""
