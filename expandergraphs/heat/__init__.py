"""Heat on networks: signatures, distances between them, and what the spectrum says about both."""
