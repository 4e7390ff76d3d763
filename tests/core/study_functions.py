"""Families and measures that other processes can import, quickly."""

import os
import time

import numpy as np

import expandergraphs as eg


def digest(g):
    return {"digest": g.digest}


def samples(g, rng):
    return {"first": rng.integers(2**40)}


def process(g):
    return {"process": os.getpid(), "threads": os.environ.get("OPENBLAS_NUM_THREADS")}


def slow(g):
    """Take a while, like compiled code, which no exception ends."""
    try:
        time.sleep(0.2)
    except KeyboardInterrupt:
        time.sleep(60)
    return {"digest": g.digest}


def die(g):
    os._exit(1)


def dense(n_left, n_right, n_edges, rng):
    """Draw a family that has complete graphs only."""
    if n_edges != n_left * n_right:
        raise eg.GenerationError("complete graphs only")
    return eg.BipartiteGraph.from_biadjacency(np.ones((n_left, n_right)))
