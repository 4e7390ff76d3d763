"""Real sparse execution: layers that store and compute only the weights on their masks."""
