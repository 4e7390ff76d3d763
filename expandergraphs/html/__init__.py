"""A page about a graph or a network, for a browser: what is wrong with it, and every measure."""
