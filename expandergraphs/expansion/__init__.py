"""How well a graph expands: intervals with certificates, witnesses, and the sampled figure of the literature."""
