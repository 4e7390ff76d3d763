"""Exceptions of the package. Every refusal is a ``ValueError``."""


class GenerationError(ValueError):
    """No graph of the family satisfies the request; the message names the nearest request that one does.

    Examples
    --------
    >>> from expandergraphs import random_regular
    >>> try:
    ...     random_regular(4, 4, 5)
    ... except GenerationError as error:
    ...     print(error)
    random_regular(4, 4, degree=5): degree exceeds n_right = 4; the nearest feasible degree is 4
    """
