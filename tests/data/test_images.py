"""Files of images and series: each is read as what it holds, or refused in one line; and how they are changed at random."""

import gzip
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import gdjax as gd
from gdjax import data
from gdjax.data import DataError, read_table
from gdjax.tables import PixelEncoding, fit_pixels
from gdjax.tables.pixels import read_encoding

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (12, 5, 6), dtype=np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 3


def idx(array, kind):
    """The bytes of an array in IDX: two zeros, the type, the number of axes, their sizes, the numbers."""
    head = struct.pack(f">BBBB{array.ndim}i", 0, 0, kind, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("names", ["train-images-idx3-ubyte train-labels-idx1-ubyte", "a-images.idx3 a-labels.idx1"])
@pytest.mark.parametrize("packed", [(False, False), (False, True), (True, False)])
def test_idx_is_read_packed_or_not_with_the_labels_beside_it(tmp_path, names, packed):
    names = names.split()
    for name, array, is_packed in zip(names, (IMAGES, LABELS), packed, strict=True):
        content = idx(array, 8)
        (tmp_path / f"{name}{'.gz' * is_packed}").write_bytes(gzip.compress(content) if is_packed else content)
    table = read_table(tmp_path / f"{names[0]}{'.gz' * packed[0]}")
    assert np.array_equal(table.pixels, IMAGES[..., None]) and table.pixels.dtype == np.uint8
    assert np.array_equal(table.frame["label"], LABELS) and f"labels are those of {names[1]}" in table.notes[-1]


def test_idx_of_numbers_of_any_type_and_what_is_wrong_with_a_file(tmp_path):
    for kind, dtype in ((0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")):
        numbers = (RANDOM.normal(size=(4, 3, 2)) * 50).astype(dtype)
        (tmp_path / "x-images").write_bytes(idx(numbers, kind))
        table = read_table(tmp_path / "x-images")
        assert np.array_equal(table.pixels, numbers) and table.pixels.dtype == dtype and table.shape == (3, 2)
    assert read_table(tmp_path / "x-images", shape=(3, 2, 1)).shape == (3, 2, 1)
    for name, content, said in (
        ("labels", idx(LABELS, 8), "holds labels alone"),
        ("cut", idx(IMAGES, 8)[:-1], "damaged: 360 bytes of numbers (12, 5, 6) are announced, got 359"),
        ("short", idx(IMAGES, 8)[:9], "damaged"),
        (
            "nan-images",
            idx(np.array([[[1.0, np.nan]]], np.float32), 0x0D),
            "image[0, 0, 1]: a finite number is needed",
        ),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as error:
            read_table(tmp_path / name)
        assert said in str(error.value) and "\n" not in str(error.value)
    (tmp_path / "y-images").write_bytes(idx(IMAGES, 8))
    with pytest.raises(
        ValueError, match="no column to predict beside the pixels; no labels: there is no y-labels beside it"
    ):
        gd.runs.train(tmp_path / "y-images", out=tmp_path / "run")
    (tmp_path / "y-labels").write_bytes(idx(LABELS[:5], 8))
    with pytest.raises(DataError, match=r"as many labels as .* 12, got 5"):
        read_table(tmp_path / "y-images")


def test_arrays_of_three_or_more_axes_are_images_or_series_and_the_others_columns(tmp_path):
    def found(**arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        return read_table(tmp_path / "a.npz")

    who = np.arange(12) // 4
    table = found(pictures=IMAGES, labels=np.array(list("abc"))[LABELS], who=who[:, None], other=np.zeros((2, 2)))
    assert table.shape == (5, 6, 1) and list(table.frame) == ["who", "labels"]  # the labels are the last column
    assert table.frame["labels"].tolist() == [*"abc"] * 4 and "'other' of shape (2, 2) is left out" in table.notes[0]
    for axes, shape in (((5, 2), (5, 2)), ((5, 5), (5, 5, 1)), ((5, 4, 3), (5, 4, 3))):
        assert found(x=np.zeros((12, *axes)), y=LABELS).shape == shape
    keras = found(x_train=IMAGES[:8], y_train=LABELS[:8], x_test=IMAGES[8:], y_test=LABELS[8:])
    assert keras.test_rows == 4 and np.array_equal(keras.pixels[..., 0], IMAGES)
    loaded = data.load(tmp_path / "a.npz", task="classification")
    assert loaded.shape == (5, 6, 1) and loaded.test_rows == 4 and loaded.x.dtype == np.float32
    assert np.array_equal(loaded.x, IMAGES.reshape(12, 30)) and np.array_equal(loaded.y, LABELS)
    for arrays, said in (
        ({"a": IMAGES, "b": IMAGES}, "one array of images or series is needed, got a, b"),
        ({"x": np.full((2, 2, 2), np.inf)}, r"x[0, 0, 0]: a finite number is needed, got inf"),
        ({"x": np.full((2, 2, 2), "a")}, "x must hold numbers"),
        ({"x": np.zeros((2, 2, 2, 2, 2))}, "x must hold images (n, h, w, c) or series (n, length, c)"),
    ):
        with pytest.raises(DataError) as error:
            found(**arrays)
        assert said in str(error.value)


def test_a_folder_of_png_images_by_class(tmp_path):
    def write(name, array):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(array).save(tmp_path / name)

    for i in range(4):
        write(f"{'cat' if i < 3 else 'dog'}/{i}.png", IMAGES[i])
    (tmp_path / "empty").mkdir()
    table = read_table(tmp_path)
    assert np.array_equal(table.pixels[..., 0], IMAGES[:4]) and table.notes == (
        "'empty' has no PNG image and is left out",
    )
    assert table.frame["class"].tolist() == ["cat"] * 3 + ["dog"] and table.frame["file"].iloc[3] == "dog/3.png"
    alone = read_table(tmp_path / "cat")
    assert len(alone.frame) == 3 and list(alone.frame) == ["file"]
    write("dog/4.png", np.stack([IMAGES[4]] * 3 + [IMAGES[5]], axis=-1))  # colored, with transparency
    table = read_table(tmp_path)
    assert table.shape == (5, 6, 3) and np.array_equal(table.pixels, np.repeat(IMAGES[:5, ..., None], 3, axis=-1))
    assert "gray images are read as colored ones: cat/0.png" in table.notes[1] and "transparency" in table.notes[2]
    for array, said in (
        (IMAGES[0, :4], "all images must have one size, got 6 x 5 of cat/0.png and 6 x 4 of dog/5.png"),
        (IMAGES[0].astype(np.uint16), "all images must have one depth, got uint8 of cat/0.png and uint16 of dog/5.png"),
    ):
        write("dog/5.png", array)
        with pytest.raises(DataError, match=said):
            read_table(tmp_path)
    (tmp_path / "cat/0.png").write_bytes((tmp_path / "cat/0.png").read_bytes()[:-30])
    (tmp_path / "cat/1.png").write_text("hello")
    with pytest.raises(
        DataError, match=r"2 of 6 images cannot be read: cat/0.png \(.*truncated\) and cat/1.png \(no PNG image\)"
    ):
        read_table(tmp_path)


def test_pixels_have_one_center_and_one_scale_which_no_block_and_no_bad_row_changes(monkeypatch):
    given = RANDOM.normal(1e4, 3.0, (50, 4, 3, 1))
    right = (given - given.mean()) / given.std()
    for block in (1 << 22, 12 * 7):
        monkeypatch.setattr("gdjax.tables.pixels.BLOCK", block)
        encoding = fit_pixels(given)
        np.testing.assert_allclose(encoding.transform(given), right.reshape(50, 12), atol=1e-9)
    assert encoding.transform(given, "float32").dtype == np.float32
    spoiled = np.concatenate([given, np.full((1, 4, 3, 1), 7.0)])
    spoiled[-1, 0, 0] = np.nan
    again = fit_pixels(spoiled)
    np.testing.assert_allclose([again.center, again.scale], [encoding.center, encoding.scale], rtol=1e-12)
    features, flags = again.encode(spoiled)
    assert np.isnan(features[-1]).all() and flags.notes()[-2:] == ["", "'pixels' cannot be read"]
    shades = np.linspace(0, 255, 24).reshape(2, 4, 3, 1)
    for scale, said in ((1, ""), (1 / 255, "'pixels' on another scale than in training rows"), (0, "")):
        assert fit_pixels(shades).encode(shades * scale)[1].notes() == [said] * 2
    assert read_encoding(again.to_json()) == again and fit_pixels(np.ones((3, 2, 1))).scale == 1.0
    with pytest.raises(ValueError, match=r"rows must have shape \(n, 4, 3, 1\), got \(2, 5\)"):
        again.transform(np.zeros((2, 5)))
    for change in (
        {"scale": 0.0},
        {"center": float("nan")},
        {"shape": [3]},
        {"shape": [3, -1]},
        {"more": 1},
        {"version": 2},
    ):
        with pytest.raises(ValueError, match="encoding: "):
            PixelEncoding.from_json({**again.to_json(), **change})


def test_mnist1d_has_5000_series_of_which_the_last_1000_are_test_rows():
    found = data.load("mnist1d", n=50, seed=3)
    assert found.x.shape == (50, 40) and found.shape == (40, 1) and found.test_rows == 10
    assert np.bincount(found.y).tolist() == [5] * 10
    np.testing.assert_allclose([found.x.mean(), found.x.std()], [0, 1], atol=1e-12)
    with pytest.raises(ValueError, match="mnist1d: n must be a positive multiple of 10, got 7"):
        data.load("mnist1d", n=7)


@pytest.mark.peers
def test_mnist1d_equals_that_of_its_authors():
    theirs = pytest.importorskip("mnist1d.data").make_dataset()
    ours = data.load("mnist1d")
    rows = len(ours.y) - ours.test_rows
    assert np.array_equal(ours.x[:rows], theirs["x"]) and np.array_equal(ours.x[rows:], theirs["x_test"])
    assert np.array_equal(ours.y[:rows], theirs["y"]) and np.array_equal(ours.y[rows:], theirs["y_test"])


@jax.jit
def changed(keys, x, ramp):
    """What each augmentation makes of x, for all keys."""
    whole = jnp.uint8(ramp)
    crop = lambda key: (data.crop(key, ramp, 0.5), data.crop(key, whole, 0.5))  # noqa: E731
    change = lambda key: (data.shift(key, x, 1), data.flip(key, x), data.noise(key, x, 0.5), *crop(key))  # noqa: E731
    return jax.vmap(change)(keys)


def test_augmentations_in_numpy_and_their_laws():
    """All moves of `shift` and both of `flip` come; noise and the size of a crop's window are spread as they say."""
    x, ramp = RANDOM.normal(size=(4, 5, 2)).astype(np.float32), np.arange(100, dtype=np.float32)[:, None]
    moved, flipped, noisy, cropped, rounded = map(
        np.asarray, changed(jax.random.split(jax.random.key(0), 200), x, ramp)
    )
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge")
    assert {y.tobytes() for y in moved} == {padded[i : i + 4, j : j + 5].tobytes() for i in range(3) for j in range(3)}
    assert {y.tobytes() for y in flipped} == {x.tobytes(), x[:, ::-1].tobytes()}
    np.testing.assert_allclose((noisy - x).std(), 0.5, rtol=0.1)
    slopes = np.diff(cropped[:, 40:60, 0], axis=1)  # a window of a ramp keeps its slope, times its share
    np.testing.assert_allclose(slopes, slopes[:, :1] * np.ones(19), rtol=1e-3)
    assert 0.4999 <= slopes.min() < 0.55 and 0.95 < slopes.max() <= 1.0001
    assert cropped.min() >= 0 and cropped.max() <= 99 and np.ptp(cropped[:, 50, 0]) > 20
    assert rounded.dtype == np.uint8 and np.abs(rounded - cropped).max() < 0.501
    with pytest.raises(ValueError, match=r"shift: x must be one example, .* got shape \(3, 4, 5, 2\); jax.vmap"):
        data.shift(jax.random.key(0), np.zeros((3, 4, 5, 2)))
    with pytest.raises(ValueError, match=r"^shift: most must be a whole number, got 1.5$"):
        data.shift(jax.random.key(0), x, 1.5)


def test_augment_changes_each_example_by_a_key_of_its_own_and_none_without():
    model = gd.models.augment((4, 5, 2), shift=1)
    x, key = np.broadcast_to(RANDOM.normal(size=(4, 5, 2)).astype(np.float32), (2, 3, 4, 5, 2)), jax.random.key(2)
    assert np.array_equal(model.apply((), x), x) and np.array_equal(gd.models.augment((4, 5, 2)).apply((), x, key), x)
    found, one, traced, by_hand = jax.jit(
        lambda x, key, noise: (
            model.apply((), x, key),
            model.apply((), x[0, 0], key),
            model.replace(noise=noise).apply((), x[0, 0], key),
            data.shift(jax.random.split(key, 4)[2], x[0, 0], 1),
        )
    )(x, key, 0.0)
    assert len({row.tobytes() for row in np.asarray(found).reshape(6, -1)}) > 2
    assert np.array_equal(one, by_hand)
    np.testing.assert_allclose(traced, one, rtol=1e-6, err_msg="a number that is traced draws as one that is not")
    with pytest.raises(ValueError, match=r"augment: x must end in the axes \(4, 5, 2\), got shape \(4, 5, 3\)"):
        model.apply((), np.zeros((4, 5, 3)))
