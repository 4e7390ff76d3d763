"""Singular values of the biadjacency: a few with error bounds, all of them, or their density."""
