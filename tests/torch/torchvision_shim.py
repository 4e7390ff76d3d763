"""torchvision and timm, also where torch is a CPU build and torchvision's compiled operators cannot be loaded.

torchvision then fails while it describes two of them, because nothing has declared them. No model calls them, so a
declaration is enough. ``from tests.torch.torchvision_shim import timm, torchvision``
"""

import torch

try:
    import torchvision
except RuntimeError:
    _operators = torch.library.Library("torchvision", "FRAGMENT")  # what it declares lives as long as it does
    for _name in ("nms", "qnms"):
        _operators.define(f"{_name}() -> ()")
    import torchvision

import timm  # after torchvision, which it imports

__all__ = ["timm", "torchvision"]
