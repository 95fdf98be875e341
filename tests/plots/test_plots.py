"""Pictures: what is drawn is what is meant, at the edges too, and nothing is left behind."""

import subprocess
import sys

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from gdjax.plots import PALETTE, boundary, confusion, curves, palette, save, style
from gdjax.plots._curves import BUCKETS, thin

DARK = {
    "axes.facecolor": "black",
    "figure.facecolor": "black",
    "text.color": "white",
    "savefig.facecolor": "black",
}
DARK |= {
    "xtick.color": "white",
    "ytick.color": "white",
    "axes.labelcolor": "white",
    "axes.edgecolor": "white",
}


SIDE = 60


def by_gid(picture, gid):
    return picture.findobj(lambda artist: artist.get_gid() == gid)


def words(picture):
    return [text.get_text() for text in picture.findobj(Text) if text.get_visible() and text.get_text()]


def assert_all_inside(picture):
    """Nothing that is drawn lies beyond the picture's edges."""
    picture.draw_without_rendering()
    box = picture.get_tightbbox()  # inches
    width, height = picture.get_size_inches()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= -0.01, box


@pytest.fixture(autouse=True)
def coarse_planes(monkeypatch):
    """Fewer cells, quicker tests."""
    monkeypatch.setattr(sys.modules["gdjax.plots._boundary"], "SIDE", SIDE)


def test_import_gdjax_leaves_matplotlib_alone_and_pictures_leave_pyplot_alone():
    program = (
        "import sys, gdjax\n"
        "assert not any(name.startswith('matplotlib') for name in sys.modules), 'import gdjax'\n"
        "import matplotlib; before = matplotlib.rcParams.copy()\n"
        "from gdjax.plots import curves\n"
        "curves({'epoch': [1.0], 'loss': [1.0]}, 0).draw_without_rendering()\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'curves'\n"
        "changed = {name for name, value in before.items() if value != matplotlib.rcParams[name]} - {'backend'}\n"
        "assert not changed, changed\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# Style.


# Machado, Oliveira & Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", linear RGB to linear RGB
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
}
TO_XYZ = [[0.4339, 0.3763, 0.1899], [0.2126, 0.7152, 0.0722], [0.0177, 0.1095, 0.8729]]  # of the white point


def closest(colors, sight):
    """The least CIE 1976 difference of two colors; 2.3 is just noticeable."""
    rgb = np.array([to_rgb(color) for color in colors])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    f = np.cbrt(np.clip(linear @ np.transpose(sight), 0, 1) @ np.transpose(TO_XYZ))
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    apart = np.linalg.norm(lab[:, None] - lab, axis=-1)
    return apart[~np.eye(len(colors), dtype=bool)].min()


@pytest.mark.parametrize("sight", SIGHT)
def test_palette_is_distinct_for_every_eye(sight):
    assert closest(PALETTE, SIGHT[sight]) > 12
    assert closest(palette(21), SIGHT[sight]) > (10 if sight == "normal" else 2.3)


def test_palette_has_any_number_of_colors():
    assert palette(0) == []
    assert palette(50)[21:42] == palette(21)
    assert palette(7) == [to_rgb(color) for color in PALETTE]


@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_ink_is_readable_on_any_background(background):
    assert contrast(style.ink_on(background), background) >= 4.5


def contrast(one, other):
    light, dark = sorted((style.luminance(one), style.luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.1 + 0.2, "0.3"),
        (0.0001, "0.0001"),
        (2e-5, "2e−5"),
        (-3.0, "−3"),
        (1234.5, "1,234.5"),
        (12500.0, "12,500"),
        (123456.0, "123,456"),
        (1e6, "1e6"),
        (1e-300, "1e−300"),
        (float("nan"), "nan"),
        (-float("inf"), "−inf"),
    ],
)
def test_number_is_short_and_exact(value, text):
    assert style.number(value) == text


@given(st.text(max_size=60), st.integers(4, 30))
def test_shorten_keeps_to_its_limit(name, limit):
    short = style.shorten(name, limit)
    assert len(short) <= limit
    assert "\n" not in short
    assert short == " ".join(name.split()) or "…" in short


def test_shorten_all_keeps_names_apart():
    names = [f"species number {i} of a long list" for i in range(40)]
    short = style.shorten_all(names, 18)
    assert len(set(short)) == 40
    assert max(map(len, short)) <= 18
    assert style.shorten_all(["cat", "dog"], 18) == ["cat", "dog"]


def test_save_writes_a_png_of_800_pixels_or_more(tmp_path):
    with matplotlib.rc_context({"savefig.dpi": 20}):
        path = save(curves(RUN), tmp_path / "run.png")
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(content[16:20], "big") >= 800
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("old", [None, b"the old picture"])
def test_save_writes_whole_or_not_at_all(tmp_path, monkeypatch, old):
    path = tmp_path / "run.png"
    if old is not None:
        path.write_bytes(old)
    picture = style.figure(2)

    def fails_half_way(target, **options):
        with open(target, "wb") as file:
            file.write(b"half a pic")
        raise OSError("disk full")

    monkeypatch.setattr(picture, "savefig", fails_half_way)
    with pytest.raises(OSError, match="disk full"):
        save(picture, path)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == ({"run.png": old} if old else {})


def test_save_refuses_another_ending(tmp_path):
    with pytest.raises(ValueError, match=r"save: path must end in \.png, \.svg or \.pdf, got"):
        save(style.figure(2), tmp_path / "run.jpg")
    assert not list(tmp_path.iterdir())
    assert b"<svg" in save(style.figure(2), tmp_path / "run.svg").read_bytes()


# Curves.

EPOCH = np.arange(1.0, 61.0)
RUN = {
    "epoch": EPOCH,
    "step": 23 * EPOCH,
    "loss": 2 * np.exp(-EPOCH / 12),
    "validation_loss": 2 * np.exp(-EPOCH / 12) + 0.001 * EPOCH,
    "accuracy": 1 - 0.8 * np.exp(-EPOCH / 5),
    "validation_accuracy": 0.96 - 0.8 * np.exp(-EPOCH / 5),
    "learning_rate": np.where(EPOCH < 30, 1e-3, 5e-4),
}


def history(**columns):
    return {"epoch": np.arange(len(columns["loss"])) + 1.0, **columns}


EDGES = {
    "one evaluation": {name: column[:1] for name, column in RUN.items()},
    "two evaluations": {name: column[:2] for name, column in RUN.items()},
    "none": {name: column[:0] for name, column in RUN.items()},
    "loss alone": history(loss=[3.0, 2.0, 1.0]),
    "constant": history(loss=[1.0] * 9, accuracy=[0.0] * 9, learning_rate=[0.1] * 9),
    "zero": history(loss=[0.0] * 9, validation_loss=[0.0] * 9, learning_rate=[0.0] * 9),
    "all NaN": history(loss=[np.nan] * 9, accuracy=[np.nan] * 9, learning_rate=[np.nan] * 9),
    "diverging": history(loss=[1.0, 1e3, 1e30, np.inf, np.nan], validation_loss=[1.0, -np.inf, 2, np.nan, 1]),
    "huge": history(loss=[1e308, 1.0, -1e308, 1e99], r2=[-1e99, 0.0, 0.5, 0.9]),
    "tiny": history(loss=[1.0, 1e-30, 1e-300, 5e-324], learning_rate=[1e-12] * 4),
    "reaching zero": history(loss=[1.0, 0.1, 0.0, 0.0], learning_rate=[1.0, 0.1, 0.01, 0.0]),
    "negative": history(loss=[-1.0, -200.0, -1e6]),
    "masked": history(loss=np.ma.masked_greater([1.0, 5.0, 2.0], 4), validation_loss=np.ma.masked_all(3)),
    "whole numbers": history(loss=[3, 2, 1], accuracy=np.array([0, 1, 1], np.int32)),
    "nearly constant": history(loss=1 + 1e-15 * np.arange(9), accuracy=0.9 + 1e-9 * np.arange(9)),
    "float32 of jax": {name: jnp.asarray(column) for name, column in RUN.items()},
    "bfloat16": history(loss=jnp.ones(4, jnp.bfloat16)),
    "other ranks": RUN | {"confusion": np.zeros((60, 3, 3)), "learning_rate": np.zeros((60, 2)), "note": 1.0},
    "fractions of an epoch": history(loss=np.arange(9.0)) | {"epoch": np.arange(9) / 4},
    "one epoch for all": history(loss=np.arange(9.0)) | {"epoch": np.full(9, 2.5)},
}


@pytest.mark.parametrize("edge", EDGES)
def test_curves_at_the_edges(edge):
    columns = EDGES[edge]
    best = len(columns["loss"]) - 1
    picture = curves(columns, best, title=edge, metric="r2" if "r2" in columns else "accuracy")
    assert_all_inside(picture)
    for axes in picture.axes:
        assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()


def test_curves_draws_the_panels_that_the_history_has():
    def labels(columns, **options):
        return [axes.get_ylabel() for axes in curves(columns, **options).axes]

    loss, accuracy, rate = "cross-entropy\n(nats)", "accuracy\n(share correct)", "learning\nrate"
    assert labels(RUN, loss_label="cross-entropy (nats)") == [loss, accuracy, rate]
    assert labels(RUN, metric=None) == ["loss", rate]
    assert labels(RUN, metric="r2") == ["loss", rate]
    assert labels({name: RUN[name] for name in ("epoch", "loss", "validation_accuracy")}) == [
        "loss",
        accuracy,
    ]
    assert labels(history(loss=[1.0])) == ["loss"]


def test_curves_draws_the_values():
    picture = curves(RUN)
    drawn = [line.get_xydata() for axes in picture.axes for line in axes.lines if len(line.get_xdata())]
    for name in ("loss", "validation_loss", "accuracy", "validation_accuracy", "learning_rate"):
        assert any(np.array_equal(line, np.stack([EPOCH, RUN[name]], axis=1)) for line in drawn), name


@pytest.mark.parametrize(
    ("monitor", "panel", "curve"),
    [
        (None, 0, "validation_loss"),
        ("loss", 0, "loss"),
        ("training loss", 0, "loss"),
        ("validation loss", 0, "validation_loss"),
        ("validation_accuracy", 1, "validation_accuracy"),
        ("training accuracy", 1, "accuracy"),
    ],
)
def test_best_is_marked_where_it_is(monitor, panel, curve):
    picture = curves(RUN, best=41, monitor=monitor)
    (dot,) = by_gid(picture, "best")
    assert dot.axes is picture.axes[panel]
    np.testing.assert_array_equal(dot.get_xydata(), [[42.0, RUN[curve][41]]])
    lines = by_gid(picture, "best line")
    assert [line.axes for line in lines] == picture.axes
    assert all(set(line.get_xdata()) == {42.0} for line in lines)
    assert "best, epoch 42: its parameters are kept" in words(picture)


def test_best_of_a_run_without_validation_is_on_the_loss():
    picture = curves({name: RUN[name] for name in ("epoch", "loss")}, best=0)
    np.testing.assert_array_equal(by_gid(picture, "best")[0].get_xydata(), [[1.0, RUN["loss"][0]]])


def test_best_of_an_unseen_curve_is_a_line_without_a_dot():
    picture = curves(RUN, best=3, monitor="validation_mae")
    assert by_gid(picture, "best line")
    assert not by_gid(picture, "best")


@pytest.mark.parametrize("best", [None, -1])
def test_no_best_no_mark(best):
    picture = curves(RUN, best=best)
    assert not by_gid(picture, "best")
    assert not by_gid(picture, "best line")
    assert not any("best" in text for text in words(picture))


@pytest.mark.parametrize("best", [0, 29, 41, 59])
def test_the_flag_stays_on_the_picture(best):
    picture = curves(RUN, best=best)
    assert_all_inside(picture)
    (flag,) = (text for text in picture.findobj(Text) if "parameters are kept" in text.get_text())
    panel = picture.axes[0].get_window_extent()
    assert panel.x0 <= flag.get_window_extent().x0
    assert flag.get_window_extent().x1 <= panel.x1


@pytest.mark.parametrize(
    ("name", "values", "scale"),
    [
        ("loss", [2.0, 0.05], "log"),
        ("loss", [2.0, 0.5], "linear"),
        ("loss", [2.0, 0.05, 0.0], "log"),
        ("loss", [2.0, 0.05, -0.1], "linear"),
        ("loss", [2.0, 0.05, np.nan], "log"),
        ("learning_rate", [1.0, 0.05], "log"),
        ("learning_rate", [1.0, 0.2], "linear"),
        ("learning_rate", [1.0, 0.05, 0.0], "linear"),
        ("accuracy", [0.9, 0.01], "linear"),
    ],
)
def test_logarithmic_where_it_helps(name, values, scale):
    columns = {"loss": np.ones(len(values)), name: values}
    axes = curves(history(**columns)).axes[0 if name == "loss" else 1]
    assert axes.get_yscale() == scale
    low, high = axes.get_ylim()
    shown = [value for value in values if np.isfinite(value) and (value > 0 or scale == "linear")]
    assert low < min(shown) <= max(shown) < high


@pytest.mark.parametrize("n", [1, 5, 3 * BUCKETS + 7])
def test_a_rate_that_changes_between_evaluations_is_drawn_as_its_range(n):
    """A cyclic rate, the same at every evaluation: what is drawn reaches its ends in each interval, the first too."""
    rng = np.random.default_rng(n)
    low, high = np.full(n, 1e-4), 1e-3 + 1e-2 * rng.random(n)
    rates = {"learning_rate": np.full(n, 5e-4), "learning_rate_min": low, "learning_rate_max": high}
    for runs in (history(loss=np.ones(n), **rates), {"one": history(loss=np.ones(n), **rates)}):
        picture = curves(runs)
        axes = picture.axes[-1]
        (band,) = by_gid(axes, "range")
        corners = band.get_paths()[0].vertices
        step = -(-n // BUCKETS)
        for i in {0, n // step // 2, n // step - 1}:
            inside = corners[np.isclose(corners[:, 0], min((i + 1) * step, n))][:, 1]
            expected = high[i * step : (i + 1) * step].max()
            assert inside.min() == 1e-4 and np.isclose(inside, expected).any()
        assert corners[:, 0].min() == 0 and axes.get_xlim()[0] < 0 and axes.get_ylim()[1] > high.max()
        assert not [line for line in axes.lines if len(line.get_xdata()) == n and line.get_gid() is None]
    same = curves(history(loss=np.ones(n), **{**rates, "learning_rate_max": low}))
    assert by_gid(same, "range") == [] and len(same.axes[-1].lines[0].get_xdata()) == n


def test_what_is_not_finite_is_a_gap_and_a_cross():
    picture = curves(history(loss=[3.0, np.nan, 2.0, np.inf, 1.0], validation_loss=np.ones(5)))
    line = picture.axes[0].lines[0]
    np.testing.assert_array_equal(np.isfinite(line.get_ydata()), [True, False, True, False, True])
    crosses, none = by_gid(picture, "not finite")
    np.testing.assert_array_equal(crosses.get_xdata(), [2.0, 4.0])
    assert not len(none.get_xdata())
    assert "× not finite" in words(picture)
    assert "× not finite" not in words(curves(RUN))


def test_a_masked_value_is_not_drawn():
    loss = np.ma.masked_greater([1.0, 5.0, 2.0], 4)
    line = curves(history(loss=loss)).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_ydata(), [1.0, np.nan, 2.0])


def test_a_lone_point_between_gaps_is_seen():
    loss = np.ones(100)
    loss[[49, 51]] = np.nan
    dots = curves(history(loss=loss)).axes[0].lines[1]
    np.testing.assert_array_equal(dots.get_xdata(), [51.0])


def test_a_low_tail_of_a_metric_is_left_outside_and_told():
    r2 = 1 - np.exp(6 - np.arange(100) / 2)
    picture = curves(history(loss=np.ones(100), r2=r2), metric="r2")
    assert -20 < picture.axes[1].get_ylim()[0] < 0
    assert "↓ down to −402" in words(picture)
    assert not any("down to" in text for text in words(curves(RUN)))


def test_names_beside_the_lines_do_not_overlap():
    picture = curves(RUN | {"validation_loss": RUN["loss"], "validation_accuracy": RUN["accuracy"]})
    picture.draw_without_rendering()
    names = [text for text in picture.findobj(Text) if text.get_text() in ("training", "validation")]
    boxes = [(text.axes, text.get_window_extent()) for text in names]
    assert len(boxes) == 4
    for i, (axes, box) in enumerate(boxes):
        assert not any(axes is other and box.overlaps(beside) for other, beside in boxes[:i])


def test_the_axis_tells_the_steps_of_an_epoch():
    assert "23 steps" in curves(RUN).axes[-1].get_xlabel()
    assert "steps" not in curves(history(loss=[1.0])).axes[-1].get_xlabel()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.2, 1.0]))
def test_thin_keeps_the_extremes_of_every_stretch(n, seed, holes):
    generator = np.random.default_rng(seed)
    values = np.where(generator.random(n) < holes, np.nan, generator.normal(size=n))
    kept = thin(values, buckets=50)
    assert len(kept) <= max(200, 152)
    assert (np.diff(kept) > 0).all()
    assert {0, n - 1} <= set(kept)
    for stretch in np.split(np.arange(n), range(-(-n // 50), n, -(-n // 50))):
        chosen = values[np.intersect1d(stretch, kept)]
        assert np.isnan(values[stretch]).any() == np.isnan(chosen).any()
        if np.isfinite(values[stretch]).any():
            assert np.nanmin(values[stretch]) == np.nanmin(chosen)
            assert np.nanmax(values[stretch]) == np.nanmax(chosen)


def test_a_million_evaluations_keep_their_one_spike():
    loss = np.linspace(2, 1, 10**6)
    loss[543_210] = 9.0
    picture = curves(history(loss=loss), best=543_211)
    drawn = picture.axes[0].lines[0].get_ydata()
    assert len(drawn) <= 3 * BUCKETS + 2
    assert drawn.max() == 9.0
    assert by_gid(picture, "best")[0].get_ydata()[0] == loss[543_211]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": None}, r"curves: history must have 'loss', got"),
        ({"epoch": None}, r"curves: history must have 'epoch', got"),
        ({"loss": np.ones(59)}, r"curves: history\['loss'\] must have shape \(60,\), got \(59,\)"),
        ({"accuracy": np.ones(61)}, r"curves: history\['accuracy'\] must have shape \(60,\), got \(61,\)"),
        ({"loss": np.ones((60, 2))}, r"curves: history\['loss'\] must have shape \(60,\), got \(60, 2\)"),
        ({"epoch": np.ones((60, 1))}, r"curves: history\['epoch'\] must have shape \(60,\), got \(60, 1\)"),
        ({"epoch": np.full(60, np.nan)}, r"curves: history\['epoch'\] must be finite, got"),
    ],
)
def test_curves_refuses(change, message):
    columns = {name: column for name, column in (RUN | change).items() if column is not None}
    with pytest.raises(ValueError, match=message):
        curves(columns)


@pytest.mark.parametrize("best", [-2, 60])
def test_curves_refuses_a_best_outside(best):
    with pytest.raises(ValueError, match=rf"curves: best must be None, -1 or in \[0, 60\), got {best}"):
        curves(RUN, best=best)


# Boundary.

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(60, 2))
Y = (X[:, 0] > 0.3).astype(int)
CLASSES, FEATURES = ["left", "right"], ["width (cm)", "height (cm)"]


def right_of(threshold):
    """(m, 2) probabilities of two classes: the second one where the first feature is larger."""

    def predict(x):
        p = 1 / (1 + np.exp(-8 * (x[:, 0] - threshold)))
        return np.stack([1 - p, p], axis=1)

    return predict


FORMS = {
    "probabilities (m, 2)": lambda p: p,
    "probability (m,)": lambda p: p[:, 1],
    "probability (m, 1)": lambda p: p[:, 1:],
    "score (m,)": lambda p: 2 * p[:, 1] - 1,
    "scores (m, 2)": lambda p: 20 * p - 3,
    "votes (m, 2)": lambda p: np.round(p).astype(int),
    "jax": lambda p: jnp.asarray(p),
}


def decision_line(picture):
    """The vertices of all contours."""
    contours = [child for child in picture.axes[0].get_children() if hasattr(child, "levels")]
    return np.concatenate([path.vertices for contour in contours for path in contour.get_paths()])


@pytest.mark.parametrize("form", FORMS)
def test_boundary_rings_the_wrong_points_and_draws_the_line(form):
    def predict(x):
        return FORMS[form](right_of(0.0)(x))

    picture = boundary(predict, X, Y, CLASSES, FEATURES, test=(X[:20] + 0.6, Y[:20]))
    wrong = (X[:, 0] > 0) != Y
    assert wrong.any()
    (ringed,) = by_gid(picture, "training wrong")
    np.testing.assert_array_equal(ringed.get_xydata(), X[wrong])
    (ringed,) = by_gid(picture, "test wrong")
    np.testing.assert_array_equal(ringed.get_xydata(), (X[:20] + 0.6)[(X[:20, 0] + 0.6 > 0) != Y[:20]])
    cell = np.ptp(picture.axes[0].get_xlim()) / SIDE
    np.testing.assert_allclose(decision_line(picture)[:, 0], 0.0, atol=cell)
    assert f"training: 60 points,\n{wrong.sum()} wrong" in words(picture)


def test_boundary_draws_every_point_in_the_color_of_its_class():
    picture = boundary(right_of(0.3), X, Y, CLASSES, FEATURES, test=(X[:9], Y[:9]))
    for name, count in (("training", 60), ("test", 9)):
        groups = by_gid(picture, name)
        assert sum(len(line.get_xdata()) for line in groups) == count
        for label, line in enumerate(groups):
            np.testing.assert_array_equal(line.get_xydata(), X[:count][Y[:count] == label])
            assert to_rgb(line.get_color()) == palette(2)[label]
    markers = {line.get_marker() for name in ("training", "test") for line in by_gid(picture, name)}
    assert len(markers) == 2


def test_boundary_is_paler_where_the_classifier_is_less_certain():
    picture = boundary(right_of(0.0), X, Y, CLASSES, FEATURES)
    (image,) = picture.axes[0].images
    low, high = picture.axes[0].get_xlim()
    assert tuple(image.get_extent()) == (low, high, *picture.axes[0].get_ylim())
    row = np.asarray(image.get_array())[0]  # (SIDE, 3), from left to right
    depth = np.abs(1 - row).sum(axis=1)
    middle = int(SIDE * (0 - low) / (high - low))
    assert depth[0] > 1.5 * depth[middle - 1]
    assert depth[-1] > 1.5 * depth[middle + 1]
    assert (np.diff(depth[: middle - 1]) <= 1e-9).all()
    np.testing.assert_allclose(row[0], style.mix("white", PALETTE[0], 0.36), atol=0.01)
    np.testing.assert_allclose(row[-1], style.mix("white", PALETTE[1], 0.36), atol=0.01)
    assert "paler: less certain" in words(picture)
    flat = boundary(lambda x: x[:, 0], X, Y, CLASSES, FEATURES)
    assert len(np.unique(np.asarray(flat.axes[0].images[0].get_array()).reshape(-1, 3), axis=0)) == 2
    assert "paler: less certain" not in words(flat)


def test_the_first_feature_runs_to_the_right_and_the_second_upwards():
    picture = boundary(lambda x: x[:, 1] - 0.5, X, Y, CLASSES, FEATURES)
    (image,) = picture.axes[0].images
    colors = np.asarray(image.get_array())
    assert image.origin == "lower"
    np.testing.assert_allclose(np.argmax(colors[0], axis=1), 2)  # blue below
    np.testing.assert_allclose(np.argmax(colors[-1], axis=1), 0)  # vermillion above
    np.testing.assert_allclose(decision_line(picture)[:, 1], 0.5, atol=np.ptp(picture.axes[0].get_ylim()) / SIDE)
    assert [picture.axes[0].get_xlabel(), picture.axes[0].get_ylabel()] == FEATURES


def test_boundary_asks_the_classifier_once():
    shapes = []

    def predict(x):
        shapes.append(x.shape)
        return right_of(0.0)(x)

    boundary(predict, X, Y, CLASSES, FEATURES, test=(X, Y))
    assert shapes == [(SIDE * SIDE + 120, 2)]


def nearest(centers):
    return lambda x: -((x[:, None] - np.asarray(centers)) ** 2).sum(-1)


CENTERS = GENERATOR.normal(size=(25, 2))
EDGE_PLANES = {
    "three classes": (nearest(CENTERS[:3]), X, np.arange(60) % 3, 3),
    "twenty-five classes": (nearest(CENTERS), X, np.arange(60) % 25, 25),
    "one point": (right_of(0.0), [[1.0, 2.0]], [0], 2),
    "a constant feature": (right_of(0.0), X * [1, 0], Y, 2),
    "equal points at zero": (right_of(0.0), 0 * X, Y, 2),
    "large and small units": (lambda x: x[:, 0], X * [1e9, 1e-9], Y, 2),
    "one class everywhere": (lambda x: np.ones(len(x)), X, Y, 2),
    "equal scores everywhere": (lambda x: np.zeros((len(x), 3)), X, Y, 3),
    "NaN everywhere": (lambda x: np.full((len(x), 2), np.nan), X, Y, 2),
    "NaN in a half": (lambda x: np.where(x[:, :1] > 0, np.nan, right_of(-0.5)(x)), X, Y, 2),
    "infinite scores": (lambda x: np.where(x > 0, np.inf, -np.inf), X, Y, 2),
    "points that are NaN": (right_of(0.0), np.where(X > 1.5, np.nan, X), Y, 2),
    "masked points": (right_of(0.0), np.ma.masked_greater(X, 1.5), Y, 2),
    "whole numbers": (right_of(0.0), np.round(X).astype(int), Y.astype(bool), 2),
}


NIGHTLY = ("twenty-five classes", "equal points at zero", "one class everywhere", "NaN everywhere", "masked points")
NIGHTLY += ("whole numbers", "equal scores everywhere")  # more of an edge that the others have


@pytest.mark.parametrize("edge", [pytest.param(x, marks=[pytest.mark.nightly] * (x in NIGHTLY)) for x in EDGE_PLANES])
def test_boundary_at_the_edges(edge):
    predict, x, y, classes = EDGE_PLANES[edge]
    names = [f"class {i} with a name that is long, costs $1 or $2_" for i in range(classes)]
    without = (None, (np.zeros((0, 2)), np.zeros(0, int))) if edge in ("three classes", "one point") else ()
    for test in (*without, (x, y)):
        picture = boundary(predict, x, y, names, ["a" * 90, "b $ _ $"], test=test, title=edge)
        picture.draw_without_rendering()
        assert np.isfinite([*picture.axes[0].get_xlim(), *picture.axes[0].get_ylim()]).all()
        legend = picture.axes[0].get_legend().get_window_extent()
        assert legend.y0 >= 0
        assert legend.x1 <= picture.bbox.x1


@pytest.mark.parametrize("edge", ["one class everywhere", "equal scores everywhere", "NaN everywhere"])
def test_without_two_regions_there_is_no_decision_line(edge):
    predict, x, y, classes = EDGE_PLANES[edge]
    picture = boundary(predict, x, y, [str(i) for i in range(classes)], FEATURES)
    assert not [child for child in picture.axes[0].get_children() if hasattr(child, "levels")]


def test_a_place_without_prediction_is_white_and_its_points_are_wrong():
    predict, x, y, _ = EDGE_PLANES["NaN in a half"]
    picture = boundary(predict, x, y, CLASSES, FEATURES)
    assert (np.asarray(picture.axes[0].images[0].get_array())[:, -1] == 1).all()
    (ringed,) = by_gid(picture, "training wrong")
    np.testing.assert_array_equal(ringed.get_xydata(), x[(x[:, 0] > 0) | ((x[:, 0] > -0.5) != y)])


@pytest.mark.parametrize("edge", ["points that are NaN", "masked points"])
def test_points_that_are_not_finite_are_counted(edge):
    predict, x, y, _ = EDGE_PLANES[edge]
    lost = int((X > 1.5).any(axis=1).sum())
    assert lost
    assert any(f"{lost} not finite" in text for text in words(boundary(predict, x, y, CLASSES, FEATURES)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (right_of(0), X, Y, ["one"], FEATURES),
            "feature_names must be 2 and target_names at least 2, got 2 and 1",
        ),
        (
            (right_of(0), X, Y, CLASSES, ["a"]),
            "feature_names must be 2 and target_names at least 2, got 1 and 2",
        ),
        (
            (right_of(0), X[:, :1], Y, CLASSES, FEATURES),
            r"x must be \(n, 2\) with labels \(n,\), got \(60, 1\)",
        ),
        ((right_of(0), X, Y[:5], CLASSES, FEATURES), r"x must be \(n, 2\) with labels \(n,\), got .* \(5,\)"),
        ((right_of(0), X, 2 * Y - 1, CLASSES, FEATURES), r"labels of x must be in \[0, 2\), got \[-1  1\]"),
        ((right_of(0), X, Y + 0.5, CLASSES, FEATURES), r"labels of x must be in \[0, 2\), got"),
        (
            (right_of(0), X, Y, CLASSES, FEATURES, (X, Y + 1)),
            r"labels of test must be in \[0, 2\), got \[1 2\]",
        ),
        (
            (right_of(0), X, Y, [*CLASSES, "top"], FEATURES),
            r"predict must return \(3660, 3\), got \(3660, 2\)",
        ),
        ((lambda x: x[:5, 0], X, Y, CLASSES, FEATURES), r"predict must return \(3660, 2\), got \(5,\)"),
        ((right_of(0), X * np.nan, Y, CLASSES, FEATURES), "x must have a finite row, got none"),
    ],
)
def test_boundary_refuses(arguments, message):
    with pytest.raises(ValueError, match=f"boundary: {message}"):
        boundary(*arguments)


# Confusion.


def counts_of(classes, largest=200):
    generator = np.random.default_rng(classes)
    return generator.integers(0, 9, (classes, classes)) + np.diag(generator.integers(20, largest, classes))


def texts_of(picture, gid):
    return [text.get_text() for text in by_gid(picture, gid)]


@pytest.mark.parametrize("classes", [1, 2, 3, 10])
def test_confusion_shows_counts_recall_and_precision(classes):
    counts = counts_of(classes)
    picture = confusion(counts, [f"class {i}" for i in range(classes)])
    for text in by_gid(picture, "count"):
        j, i = text.get_position()
        assert text.get_text() == str(counts[int(i), int(j)])
    assert len(by_gid(picture, "count")) == classes**2
    recall = 100 * counts.diagonal() / counts.sum(axis=1)
    precision = 100 * counts.diagonal() / counts.sum(axis=0)
    np.testing.assert_allclose([float(text) for text in texts_of(picture, "recall")], recall, atol=0.0501)
    np.testing.assert_allclose([float(text) for text in texts_of(picture, "precision")], precision, atol=0.0501)
    assert f"Accuracy {100 * counts.trace() / counts.sum():.1f} %" in " ".join(words(picture))
    heights = [text.get_position()[1] for text in by_gid(picture, "recall")]
    assert heights == list(range(classes))


@pytest.mark.parametrize("classes", [pytest.param(2, marks=pytest.mark.nightly), 10])
@pytest.mark.parametrize("largest", [30, pytest.param(20_000, marks=pytest.mark.nightly), 9_000_000, 900_000_000])
def test_numbers_are_readable_and_stay_in_their_cells(classes, largest):
    counts = counts_of(classes, largest)
    picture = confusion(counts, [f"class {i}" for i in range(classes)])
    assert_all_inside(picture)
    axes = picture.axes[0]
    (image,) = axes.images
    colors = np.asarray(image.get_array())
    texts = by_gid(picture, "count")
    assert len(texts) == classes**2
    for text in texts:
        j, i = map(int, text.get_position())
        assert contrast(text.get_color(), tuple(colors[i, j])) >= (4.5 if counts[i, j] else 3)
        assert text.get_fontsize() >= style.SMALL - 2
        box = text.get_window_extent().transformed(axes.transData.inverted())
        assert abs(box.width) < 1
        assert abs(box.height) < 1


def test_cells_are_colored_by_their_share_of_the_row():
    from gdjax.plots._confusion import cell_colors

    colors = cell_colors(np.array([[9.0, 1.0, 0.0], [90.0, 10.0, 0.0], [0.0, 0.0, 0.0]]))
    depth = np.abs(1 - colors).sum(axis=-1)
    full = {name: np.abs(1 - np.array(to_rgb(name))).sum() for name in (style.BLUE, style.VERMILLION)}
    np.testing.assert_allclose(depth[0], [0.9**0.5 * full[style.BLUE], 0.1**0.5 * full[style.VERMILLION], 0])
    np.testing.assert_allclose(depth[1], [0.9**0.5 * full[style.VERMILLION], 0.1**0.5 * full[style.BLUE], 0])
    np.testing.assert_array_equal(colors[2], 1.0)


def test_a_class_without_examples_has_no_recall():
    picture = confusion([[5, 0, 1], [0, 0, 0], [3, 0, 4]], ["a", "b", "c"])
    assert texts_of(picture, "recall") == ["83.3", "–", "57.1"]
    assert texts_of(picture, "precision") == ["62.5", "–", "80.0"]
    empty = confusion(np.zeros((2, 2)), ["a", "b"])
    assert texts_of(empty, "recall") == ["–", "–"]
    assert any("Accuracy –" in text for text in words(empty))
    empty.draw_without_rendering()


def test_less_than_all_is_never_a_hundred_per_cent():
    assert texts_of(confusion([[99_999, 1], [0, 5]], ["a", "b"]), "recall") == ["99.9", "100.0"]


LONG = "species number {} of a long list, $5 to $10_"


@pytest.mark.parametrize(
    ("classes", "name"),
    [
        *((1, "{}"), (2, LONG), (40, LONG), (120, "c{}")),
        *(pytest.param(*x, marks=pytest.mark.nightly) for x in ((10, LONG), (20, LONG), (40, "{}"))),
    ],
)
def test_confusion_at_any_size(classes, name):
    picture = confusion(counts_of(classes), [name.format(i) for i in range(classes)], title="A title " * 20)
    assert_all_inside(picture)
    axes = picture.axes[0]
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert not any(low.overlaps(high) for low, high in zip(boxes[1:], boxes, strict=False))
    cells = axes.get_window_extent()
    assert cells.width > 0.5 * picture.bbox.width
    assert cells.height > 0.4 * picture.bbox.height
    assert min(text.get_fontsize() for text in picture.findobj(Text) if text.get_text()) >= 6.5


def test_many_classes_have_bars_for_numbers():
    counts = counts_of(40)
    picture = confusion(counts, [str(i) for i in range(40)])
    assert not by_gid(picture, "count")
    bars = [bar for bar in by_gid(picture, "recall") if isinstance(bar, Rectangle)]
    full = 0.11 * 40
    recall = counts.diagonal() / counts.sum(axis=1)
    np.testing.assert_allclose([bar.get_width() / full for bar in bars], recall)
    bars = [bar for bar in by_gid(picture, "precision") if isinstance(bar, Rectangle)]
    np.testing.assert_allclose([-bar.get_height() / full for bar in bars], counts.diagonal() / counts.sum(axis=0))
    assert "A full bar: 100 %" in " ".join(words(picture))


def test_weighted_counts_and_shares_are_shown_to_three_digits():
    assert texts_of(confusion([[0.98765, 0.01236], [0.0, 1.0]], "ab"), "count") == [
        "0.988",
        "0.0124",
        "0",
        "1",
    ]
    assert texts_of(confusion([[2.5e9, 1e12], [3e14, 12_345]], "ab"), "count") == [
        "2.5G",
        "1e12",
        "3e14",
        "12,345",
    ]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.zeros((2, 3)), r"counts must be \(2, 2\) as there are target_names, got \(2, 3\)"),
        (np.zeros((3, 3)), r"counts must be \(2, 2\) as there are target_names, got \(3, 3\)"),
        ([[1, -1], [0, 1]], "counts must be finite and >= 0, got -1.0 to 1.0"),
        ([[1, np.nan], [0, 1]], "counts must be finite and >= 0, got"),
    ],
)
def test_confusion_refuses(counts, message):
    with pytest.raises(ValueError, match=f"confusion: {message}"):
        confusion(counts, ["a", "b"])


# All.

MATH = "a $\\frac$ b"  # an error, were it read as mathematics

PICTURES = {
    "curves": lambda title: curves(
        RUN | {"loss": np.where(EPOCH == 9, np.nan, RUN["loss"])}, 41, title, loss_label=MATH
    ),
    "boundary": lambda title: boundary(right_of(0.0), X, Y, [MATH, "b"], [MATH, MATH], (X, Y), title),
    "confusion": lambda title: confusion([[5, 1], [0, 4]], [MATH, "b"], title),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_look_the_same_under_dark_settings(name):
    with matplotlib.rc_context(DARK):
        picture = PICTURES[name](MATH)
        picture.draw_without_rendering()
        assert to_rgb(picture.get_facecolor()) == (1, 1, 1)
        assert all(to_rgb(axes.get_facecolor()) == (1, 1, 1) for axes in picture.axes)
        for text in picture.findobj(Text):
            if text.get_text() and text.get_visible() and text.get_gid() != "count":
                assert contrast(text.get_color(), "white") > 3, text.get_text()


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_written_lies_outside_the_picture(name):
    assert_all_inside(PICTURES[name]("A title that is too long for a line. " * 4))
