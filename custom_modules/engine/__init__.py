"""How a run goes: strict settings, whole checkpoints, validation losses, layer decay."""
