"""Exceptions of the package. Every refusal is a ``ValueError``."""


class GenerationError(ValueError):
    """No graph of the family satisfies the request; the message names the nearest request that one does."""
