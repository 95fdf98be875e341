"""What a picture is handed: every form that means one thing is drawn alike, and what cannot be is told in one sentence."""

import importlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.text import Text

import gdjax as gd
from gdjax import plots
from gdjax.plots.reading import read_paths, read_rates, read_series
from gdjax.plots.scene import read_scene
from gdjax.problems import rosenbrock
from gdjax.search import nelder_mead
from gdjax.types import Stop


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Fewer dots, quicker tests."""
    monkeypatch.setattr(plots.style, "DPI", 50)
    monkeypatch.setattr(plots.style, "SCREEN", 40)
    monkeypatch.setattr(sys.modules["gdjax.plots._boundary"], "SIDE", 30)


def bowl(p):
    return (p[0] - 1) ** 2 + 3 * p[1] ** 2


def ends():
    """A run of gradient descent on the bowl: (x - 1, y) shrinks by 1 - 0.2 and 1 - 0.6 in each step."""
    return gd.minimize(bowl, np.array([3.0, -2.0]), gd.sgd(0.1), max_steps=6, record=True)


WALK = np.stack([1 + 2 * 0.8 ** np.arange(7), -2 * 0.4 ** np.arange(7)], axis=-1)
HEIGHTS = (WALK[:, 0] - 1) ** 2 + 3 * WALK[:, 1] ** 2


def result(scale=1.0, rate=0.5):
    """A fit of four epochs, ten steps each."""
    epoch = np.arange(1.0, 5)
    history = {"epoch": epoch, "step": 10 * epoch, "loss": scale / epoch, "validation_loss": 2 * scale / epoch}
    history |= {"hits": 1 - 1 / epoch, "validation_hits": 1 - 0.5 / epoch, "learning_rate": rate / epoch}
    fields = {"steps": 40, "epochs": 4.0, "seconds": 0.1, "compile_seconds": 0.1}
    params = {"w": np.array([1.0]), "b": np.array(0.5)}
    return gd.training.Result(Stop.BUDGET, params, (), None, history, "validation hits", 0.875, 3, **fields)


def words(picture):
    return " | ".join(text.get_text() for text in picture.findobj(Text) if text.get_text())


@pytest.mark.parametrize(
    "bounds",
    [(-2, 3), [-2, 3], np.array([-2.0, 3.0]), ((-2, 3), (-2, 3)), [[-2, 3], [-2, 3]], ((-2, 3),), (-2, 3, -2, 3)],
    ids=str,
)
def test_one_pair_is_for_all_axes(bounds):
    assert read_scene("contour", bowl, bounds, count=2).bounds == ((-2.0, 3.0), (-2.0, 3.0))


def test_bounds_follow_from_what_is_shown():
    assert read_scene("contour", rosenbrock(), None).bounds == tuple(rosenbrock().bounds)
    low, high = np.array(read_scene("contour", bowl, None, WALK).bounds).T
    assert (low < WALK.min(axis=0)).all() and (WALK.max(axis=0) < high).all() and (high - low < 6).all()
    strays = np.concatenate([WALK, [[1e9, 1e9], [np.nan, 0.0]]])
    np.testing.assert_allclose(read_scene("contour", bowl, None, strays).bounds, np.stack([low, high], -1))
    of_one = np.array(read_scene("curve", lambda x: (x - 30) ** 2, None, [30.0]).bounds)
    assert of_one[0, 0] < 0 and of_one[0, 1] > 60


@pytest.mark.parametrize(
    "f, names",
    [
        (bowl, ("x", "y")),
        (lambda u, v: (u - 1) ** 2 + 3 * v**2, ("u", "v")),
        ("(a-1)^2 + 3*b^2", ("a", "b")),
        (gd.problems.Problem("a bowl", bowl, np.zeros(2)), ("x", "y")),
    ],
    ids=["point", "numbers", "text", "problem"],
)
def test_a_function_of_two_variables_in_any_form(f, names):
    scene = read_scene("landscape", f, (-2, 3))
    assert scene.names == names and len(scene.bounds) == 2
    np.testing.assert_allclose(scene.f(jnp.array([2.5, -1.0])), 5.25)


def test_a_function_of_parameters_that_are_a_tree_or_one_row():
    found = gd.minimize(
        lambda p: (p["u"] - 1) ** 2 + 3 * p["v"][0] ** 2, {"u": 3.0, "v": np.array([-2.0])}, gd.sgd(0.1)
    )
    scene = read_scene("contour", lambda p: (p["u"] - 1) ** 2 + 3 * p["v"][0] ** 2, (-2, 3), found, count=2)
    np.testing.assert_allclose(scene.f(jnp.array([2.5, -1.0])), 5.25)
    np.testing.assert_allclose(scene.paths["path"], [[1.0, 0.0]], atol=1e-4)
    row = read_scene("curve", lambda p: p[0] ** 2, (-2, 3), count=1)
    np.testing.assert_allclose(row.f(jnp.array(1.5)), 2.25)
    assert len(read_scene("landscape", lambda x: x**2, (-2, 3)).bounds) == 1


def test_a_path_in_any_form():
    found = ends()
    rows = list(WALK)
    lanes = jax.vmap(lambda p: gd.minimize(bowl, p, gd.sgd(0.1), max_steps=6, record=9))(np.stack([WALK[0], WALK[1]]))
    forms = [WALK, WALK.tolist(), jnp.asarray(WALK), rows, {"run": WALK}, found, found.path, [found], {"run": found}]
    for form in (*forms, {"x": WALK[:, 0], "y": WALK[:, 1]}):
        (track,) = read_paths("contour", form, 2).values()
        np.testing.assert_allclose(track.points, WALK, rtol=1e-5)
        assert track.steps.tolist() == list(range(7))
    assert [*read_paths("contour", [found.path, WALK], 2)] == ["run 1", "run 2"]
    for form in ([WALK, WALK], np.stack([WALK, WALK])):
        assert [*read_paths("contour", form, 2)] == ["path 1", "path 2"]
    first, second = read_paths("contour", lanes, 2).values()
    np.testing.assert_allclose(first.points, WALK, rtol=1e-5)
    np.testing.assert_allclose(second.points[:6], WALK[1:], rtol=1e-5)
    alone = read_paths("contour", found._replace(path=None), 2)["path"]
    np.testing.assert_allclose(alone.points, WALK[-1:], rtol=1e-5)
    ragged = read_paths("contour", [WALK[:3], WALK[:5]], 2)
    assert [len(track.points) for track in ragged.values()] == [3, 5]
    for form in ([3.0, 1.0, 0.5], [[3.0], [1.0], [0.5]]):
        assert read_paths("curve", form, 1)["path"].points.tolist() == [[3.0], [1.0], [0.5]]
    assert [*read_paths("curve", [[3.0, 1.0], [0.5, 0.2]], 1)] == ["path 1", "path 2"]


def test_values_in_any_form():
    found, searched = ends(), gd.minimize(bowl, np.zeros(2), nelder_mead(), max_steps=5, record=True)
    for form in (
        HEIGHTS,
        HEIGHTS.tolist(),
        jnp.asarray(HEIGHTS),
        (np.arange(7), HEIGHTS),
        {"a": HEIGHTS},
        found,
        [found],
    ):
        (series,) = read_series("descent", form).values()
        np.testing.assert_allclose(series.values, HEIGHTS, rtol=1e-4)
        assert series.steps.tolist() == list(range(7))
    for form in (result(), result().history, [result()], {"fit": result()}):
        (series,) = read_series("descent", form).values()
        np.testing.assert_allclose(series.steps, [10, 20, 30, 40])
        np.testing.assert_allclose(series.values, [1, 1 / 2, 1 / 3, 1 / 4])
    many = read_series("descent", {"sgd": found, "search": searched, "fits": [result(), result(2.0)]})
    assert [*many] == ["sgd", "search", "fits 1", "fits 2"] and many["search"].values.argmin() >= 1
    assert [*read_series("descent", np.stack([HEIGHTS, HEIGHTS]))] == ["run 1", "run 2"]
    assert [len(each.values) for each in read_series("descent", [HEIGHTS, [1.0, 2.0]]).values()] == [7, 2]


def test_rates_in_any_form():
    half = 0.1 * (1 + np.cos(np.pi * np.arange(41) / 40)) / 2
    cosine = gd.schedules.cosine(0.1, 40)
    for form in (cosine, "cosine(0.1, 40)", [cosine], {"a": cosine}, gd.adam(cosine), lambda step: cosine(step)):
        (series,) = read_rates("rates", form, 40).values()
        np.testing.assert_allclose(series.values, half, atol=1e-7)
    assert [*read_rates("rates", [cosine, cosine, 0.3], None)] == [f"{cosine!r} 1", f"{cosine!r} 2", "0.3"]
    assert len(read_rates("rates", cosine, None)[repr(cosine)].values) == 41, "as long as the call says"
    np.testing.assert_allclose(read_rates("rates", 0.3, 5)["0.3"].values, 0.3)
    np.testing.assert_allclose(read_rates("rates", result(), None)[""].values, [0.5, 0.25, 0.5 / 3, 0.125])
    np.testing.assert_allclose(read_rates("rates", [0.3, 0.2], None)[""].values, [0.3, 0.2])


POINTS = np.random.default_rng(0).normal(size=(40, 2))
RIGHT = POINTS[:, 0] > 0
LABELS = {
    "numbers": (RIGHT.astype(int), lambda x: x[:, 0]),
    "probabilities": (RIGHT.astype(float), lambda x: 1 / (1 + jnp.exp(-x[:, :1]))),
    "column": (RIGHT.astype(int)[:, None], lambda x: np.stack([-x[:, 0], x[:, 0]], -1)),
    "one-hot": (np.eye(2)[RIGHT.astype(int)], lambda x: (x[:, 0] > 0).astype(int)),
    "signs": (np.where(RIGHT, 1, -1), lambda x: np.sign(x[:, 0])),
    "words": (np.where(RIGHT, "yes", "no"), lambda x: np.where(x[:, 0] > 0, "yes", "no")),
    "from one": (np.where(RIGHT, 2, 1), lambda x: np.where(x[:, 0] > 0, 2, 1)),
    "three": (RIGHT + (POINTS[:, 1] > 1), lambda x: (x[:, 0] > 0) * 1 + (x[:, 1] > 1)),
    "boolean": (RIGHT, lambda x: x[:, 0] > 0),
}


@pytest.mark.parametrize("name", LABELS)
def test_a_boundary_of_labels_in_any_form(name):
    y, predict = LABELS[name]
    picture = plots.boundary(predict, POINTS, y)
    assert "0 wrong" in words(picture) or "\n0 wrong" in words(picture)
    assert (name == "words") == ("yes" in words(picture))
    swapped = plots.boundary(lambda x: predict(-x), POINTS.tolist(), y)
    assert "40 wrong" in words(swapped) or name == "three"


@pytest.mark.parametrize("names", [(0, 1, 2), ("a", "b", "c")])
def test_labels_are_counted(names):
    truth, predicted = np.random.default_rng(1).integers(0, 3, (2, 50))
    truth[:3] = 0, 1, 2
    counts = np.array([[np.sum((truth == i) & (predicted == j)) for j in range(3)] for i in range(3)])
    of_labels = plots.confusion(np.array(names)[truth].tolist(), np.array(names)[predicted])
    cells = lambda picture: [text.get_text() for text in picture.findobj(Text) if text.get_gid() == "count"]  # noqa: E731
    assert cells(of_labels) == [str(count) for count in counts.ravel()] == cells(plots.confusion(counts, "pqr"))
    assert all(str(name) in words(of_labels) for name in names)


def test_curves_of_one_result_and_of_many():
    one = plots.curves(result())
    assert [axes.get_ylabel() for axes in one.axes] == ["loss", "hits", "learning\nrate"] and "best, epoch 4" in words(
        one
    )
    found = plots.curves({"a": result(), "b": result(3.0, 0.2)})
    assert [axes.get_ylabel() for axes in found.axes] == ["validation loss", "validation hits", "learning\nrate"]
    assert plots.descent(ends(), minimum=ends()).axes[0].lines[0].get_ydata()[0] == pytest.approx(
        HEIGHTS[0] - HEIGHTS[-1]
    )
    assert "a" in words(found) and "best" not in words(found)
    assert (
        plots.descent(result()).axes[0].get_ylabel() == "loss" and plots.descent(ends()).axes[0].get_ylabel() == "value"
    )
    drawn = [line.get_ydata() for line in found.axes[0].lines if len(line.get_ydata()) == 4]
    for scale in (1.0, 3.0):
        assert any(np.allclose(y, 2 * scale / np.arange(1, 5)) for y in drawn), "on validation data"
    of_run = plots.curves(ends())
    np.testing.assert_allclose(of_run.axes[0].lines[0].get_ydata(), HEIGHTS, rtol=1e-4)
    assert [axes.get_ylabel() for axes in plots.curves([result()]).axes] == ["loss", "hits", "learning\nrate"]


def test_results_draw_themselves():
    found = ends()
    assert any(
        np.allclose(line.get_xydata(), WALK) for line in found.plot().axes[0].lines if len(line.get_xdata()) == 7
    )
    assert "BUDGET after 6 steps" in words(found.plot())
    of_many = gd.minimize(lambda p: jnp.sum(p**2), np.ones(5), gd.sgd(0.1), max_steps=3, record=True)
    np.testing.assert_allclose(of_many.plot().axes[0].lines[0].get_ydata(), 5 * 0.64 ** np.arange(4), rtol=1e-5)
    searched = gd.minimize(lambda x: (x - 2) ** 2, 0.0, nelder_mead())
    assert searched.plot((-3, 7)).axes[0].get_xlim() == (-3, 7)
    assert len(result().plot().axes) == 3
    for what in (found, result(), gd.schedules.cosine(0.1, 10), gd.sgd(0.1), gd.backprop.graph(jnp.sin, 1.0)):
        assert plots.picture(what)._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(
        ValueError, match=r"plot: a Minimum of 5 numbers needs a path to be drawn: minimize\(\.\.\., record=T"
    ):
        of_many._replace(path=None).plot()


def test_every_picture_shows_itself_in_a_notebook(tmp_path):
    cosine = gd.schedules.cosine(0.1, 10)
    made = [plots.contour("x^2 + y^2", 2 * [(-1, 1)]), plots.curve("x^4", (-1, 1)), plots.surface(bowl, (-1, 1))]
    made += [plots.field(bowl, (-1, 1)), plots.descent(HEIGHTS), plots.rates(cosine), plots.curves(result())]
    made += [plots.boundary(LABELS["signs"][1], POINTS, LABELS["signs"][0]), plots.confusion(np.eye(3))]
    for picture in made:
        assert picture._repr_png_().startswith(b"\x89PNG")
    drawn = plots.graph_svg(gd.backprop.graph(jnp.sin, 1.0))
    assert "<svg" in drawn and drawn._repr_svg_() == drawn
    film = plots.animate(bowl, (-3, 3), ends(), tmp_path / "a.gif", frames=3)
    assert film == tmp_path / "a.gif" and film._repr_html_().startswith('<img src="data:image/gif;base64,R0lGOD')


def test_a_loss_surface_takes_paths_in_any_form():
    params = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
    loss = lambda p: jnp.sum(p["w"] ** 2) + jnp.sum(p["b"] ** 2)  # noqa: E731
    found = gd.minimize(loss, params, gd.sgd(0.1), max_steps=4, record=True)
    plane = gd.random_plane(params)
    expected = np.asarray(plane.coordinates(found.path.params))
    rows = [jax.tree.map(lambda x, i=i: x[i], found.path.params) for i in range(5)]
    for form in (found, found.path, found.path.params, rows, [found], {"descent": found}):
        lines = plots.loss_surface(loss, plane, form).axes[0].lines
        assert any(np.shape(x.get_xydata()) == (5, 2) and np.allclose(x.get_xydata(), expected) for x in lines)
    with pytest.raises(
        ValueError, match=r"loss_surface: plane must be a Plane, as gd\.random_plane\(params\) gives, got a dict"
    ):
        plots.loss_surface(loss, params)
    with pytest.raises(
        ValueError, match=r"loss_surface: path must be parameters like those of the plane, .* got an array"
    ):
        plots.loss_surface(loss, plane, np.zeros(3))


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: plots.contour(bowl, (3, -3)), r"bounds must be \(low, high\), .* low < high, got \(3, -3\)"),
        (lambda: plots.contour(bowl, (1, 2, 3)), r"bounds must be \(low, high\), or such a pair for each variable"),
        (lambda: plots.contour(bowl, "wide"), r"contour: bounds must be \(low, high\)"),
        (lambda: plots.contour(bowl), r"contour: bounds must say what to show, such as \(-3, 3\)"),
        (lambda: plots.contour(bowl, ((0, 1),) * 3), "bounds must be one pair or 2, as there are variables, got 3"),
        (lambda: plots.contour("x^2 + ", (-3, 3)), r"contour: cannot read 'x\^2 \+'"),
        (lambda: plots.contour("rosenbrok", (-3, 3)), "contour: no problem 'rosenbrok': did you mean 'rosenbrock'"),
        (
            lambda: plots.contour("x^2", (-3, 3)),
            "contour: f must be a function of two variables to be drawn, got one variable",
        ),
        (lambda: plots.landscape("x*y*z", (-3, 3)), "f must be a function of one or two variables to be drawn, got 3"),
        (lambda: plots.contour(lambda x, y, z: x, (-3, 3)), "f must be a function of two variables to be drawn, got 3"),
        (lambda: plots.curve(np.sin, (-3, 3)), r"curve: f must compute with jax.numpy, .* got <ufunc 'sin'>"),
        (lambda: plots.contour(bowl, (-3, 3), 1j * WALK), r"contour: paths must be points, .* got an array \(7, 2\)"),
        (lambda: plots.descent([]), "descent: there must be a run or values to draw, got a list"),
        (lambda: plots.curves(None), "there must be a run or values to draw, got None"),
        (
            lambda: ends()._replace(params=np.ones(3)).plot((-1, 1)),
            "plot: bounds are for a function of one or two variables",
        ),
        (lambda: plots.contour(3.0, (-3, 3)), "contour: f must be a function, a Problem or a text such as .* got 3.0"),
        (
            lambda: plots.contour(lambda p: p, (-3, 3)),
            r"f must return one real number for a point of two variables, got shape \(2,",
        ),
        (lambda: plots.contour(lambda p: np.sin(p[0]), (-3, 3)), "contour: .*jnp.sin"),
        (lambda: plots.contour(bowl, (-3, 3), {"a": "b"}), "contour: paths must be points"),
        (
            lambda: plots.contour(bowl, (-3, 3), np.zeros((4, 3))),
            r"a path over two variables must be \(n, 2\), got \(4, 3\)",
        ),
        (lambda: plots.contour(bowl, (-3, 3), minima="here"), "contour: minima must be points of two variables"),
        (lambda: plots.curve("x^2", (-3, 3), "down"), "curve: paths must be points, a Minimum, .* got 'down'"),
        (lambda: plots.descent("adam"), r"descent: values must be numbers \(n,\), .* got 'adam'"),
        (lambda: plots.descent({"a": object()}), r"descent: values must be numbers .* got an object"),
        (lambda: plots.rates("cosin(0.1, 10)"), "rates: no 'cosin' here: did you mean 'cosine'"),
        (lambda: plots.rates(None), r"rates: schedules must be functions step -> number, or numbers, got None"),
        (lambda: plots.curves({"loss": [1.0]}), "curves: history must have 'epoch'"),
        (lambda: plots.boundary(result(), POINTS, RIGHT), r"boundary: predict must be a function .* got a Result"),
        (lambda: plots.boundary(LABELS["signs"][1], POINTS), r"boundary: y must be the labels \(n,\), got none"),
        (lambda: plots.confusion([1, 0, 1]), r"confusion: counts must be \(C, C\), or the true labels .* got \(3,\)"),
        (
            lambda: plots.computation(jnp.sin),
            r"computation: graph must be what gd\.backprop\.graph\(f, \.\.\.\) gives, got a",
        ),
        (lambda: plots.layer_flow(result()), r"layer_flow: flow must be a Flow, .* got a Result"),
        (lambda: plots.save("a.png", plots.descent(HEIGHTS)), "save: picture must be a figure"),
        (lambda: plots.picture([1.0]), "picture: there must be a Result, Minimum, .* got a list"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_sentence(draw, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        draw()
    assert "\n" not in str(caught.value)


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch):
    for name in [
        name for name in sys.modules if name.partition(".")[2].startswith("plots") and name.startswith("gdjax.")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for wanted in (result().plot, ends()._replace(path=None).plot, lambda: importlib.import_module("gdjax.plots")):
        with pytest.raises(ImportError, match=r"pip install 'gdjax\[lab\]'"):
            wanted()
    graph = gd.backprop.graph(jnp.sin, 1.0)
    assert "<svg" not in graph._repr_html_() and "<table>" in graph._repr_html_()
