"""Landscapes: the pictures over one and two variables, planes through many, and the flow."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from PIL import Image

import gdjax as gd
from gdjax import plots
from gdjax.plots._landscape import PATHS
from gdjax.problems import himmelblau, rosenbrock, tilted_well

BOWL = ((-2, 2), (-3, 3))


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Fewer dots, quicker tests."""
    monkeypatch.setattr(plots.style, "DPI", 50)


def bowl(p):
    return p[0] ** 2 + 4 * p[1] ** 2


PATH = np.array([[1.5, 2.0], [1.0, -1.0], [0.2, 0.5], [0.0, 0.0]])


def words(figure: Figure) -> str:
    figure.canvas.draw()
    return " | ".join(text.get_text() for text in figure.findobj(Text))


def has_line(figure: Figure, path: np.ndarray) -> bool:
    """Whether a line of the picture has these points."""
    return any(
        np.shape(line.get_xydata()) == path.shape and np.allclose(line.get_xydata(), path)
        for line in figure.axes[0].lines
    )


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.contour(bowl, BOWL, {"a $path": PATH}, [(0.0, 0.0)], "A bowl"),
        lambda: plots.landscape(bowl, BOWL, {"a $path": PATH}, title="A bowl"),
        lambda: plots.surface(bowl, BOWL, {"a $path": PATH}, "A bowl"),
        lambda: plots.field(bowl, BOWL, "A bowl"),
        lambda: plots.curve(tilted_well(), ((-4, 4),), {"a $path": PATH[:, 0]}, (2.56,), "A bowl"),
        lambda: plots.descent({"a $path": [4.0, 2.0, 1.0]}, 0.5, "A bowl"),
        lambda: plots.rates({"a $path": gd.schedules.cosine(0.1, 10)}, 10, "A bowl"),
    ],
    ids=["contour", "landscape", "surface", "field", "curve", "descent", "rates"],
)
def test_every_picture_says_what_it_is_and_reaches_the_disk(draw, tmp_path):
    figure = draw()
    said = words(figure)
    assert "A bowl" in said and ("a $path" in said or "downhill" in said)
    assert all(axes.get_xlabel() for axes in figure.axes if axes.get_visible())
    image = np.asarray(Image.open(plots.save(figure, tmp_path / "p.png")))
    assert image.shape[1] == 400 and len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 50


def test_paths_are_drawn_where_they_went():
    assert has_line(plots.contour(bowl, BOWL, {"path": PATH}), PATH)
    far = np.concatenate([PATH, [[1e9, 1e9], [np.nan, 0]]])
    inside = [line.get_xydata() for line in plots.contour(bowl, BOWL, {"path": far}).axes[0].lines]
    assert all(np.nanmax(np.abs(points)) < 100 for points in inside), "a divergent path leaves the picture"


@pytest.mark.parametrize(
    ("later", "frame"),
    [
        ([[4.0, 0.0]], (2, 0)),
        ([[0.0, -3e9], [0.0, 1e12], [np.nan, 0]], (0, -3)),
        ([[5.0, 0.0], [1.0, 0.0], [1.0, 6.0]], (1, 3)),  # it comes back once
        ([[2.0, 3.0]], None),
        ([[np.nan, 0.0]], None),
    ],
)
def test_a_path_that_leaves_the_picture_ends_in_an_arrow_at_its_frame(later, frame):
    path = np.concatenate([PATH, later])
    arrows = plots.contour(bowl, BOWL, {"path": path}).axes[0].findobj(Annotation)
    assert [tuple(arrow.xy) for arrow in arrows] == ([] if frame is None else [pytest.approx(frame)])
    over_one = plots.curve(lambda x: 0.0 * x, ((-2, 2),), {"path": path[:, 0]}).axes[0].findobj(Annotation)
    assert [tuple(arrow.xy) for arrow in over_one] == ([(2, 0)] if frame == (2, 0) else [])


def test_the_value_falls_from_the_minimum():
    figure = plots.descent({"run": [4.0, 2.0, 1.0]}, 0.5)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [3.5, 1.5, 0.5])
    assert figure.axes[0].get_yscale() == "log"
    found = gd.minimize(rosenbrock().f, rosenbrock().start, gd.lbfgs(), record=True)
    np.testing.assert_allclose(plots.descent({"lbfgs": found}).axes[0].lines[0].get_xdata(), found.path.step)
    with pytest.raises(ValueError, match="a Minimum must have a path"):
        plots.descent({"lbfgs": found._replace(path=None)})


def test_arrows_of_the_field_are_gradients():
    up, down = plots.field(bowl, BOWL, arrows=5).axes
    (arrows,), (back,) = up.collections[-1:], down.collections[-1:]
    slopes = np.stack([2 * arrows.X, 8 * arrows.Y], axis=-1)
    shown = np.stack([arrows.U, arrows.V], axis=-1)
    cosine = (slopes * shown).sum(-1) / np.maximum(
        np.linalg.norm(slopes, axis=-1) * np.linalg.norm(shown, axis=-1), 1e-9
    )
    assert np.all((cosine > 0.999) | (np.linalg.norm(slopes, axis=-1) < 1e-9))
    np.testing.assert_allclose(back.U, -arrows.U)


def test_an_animation_has_frames_that_move(tmp_path):
    path = plots.animate(
        bowl, BOWL, {"path": PATH, "short": PATH[:2]}, tmp_path / "a.gif", "A bowl", frames=10, seconds=1.0
    )
    with Image.open(path) as gif:
        assert gif.n_frames == 4, "no more frames than steps"
        assert gif.info["duration"] >= 100 and gif.size[0] == 800
        shots = []
        for i in range(gif.n_frames):
            gif.seek(i)
            shots.append(np.asarray(gif.convert("RGB"), int))
    assert all((a != b).any() for a, b in itertools.pairwise(shots))
    with pytest.raises(ValueError, match=r"must end in \.gif"):
        plots.animate(bowl, BOWL, {}, tmp_path / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]


def test_runs_that_differ_in_one_thing_are_one_picture_or_one_animation(tmp_path):
    paths = {-1.0: np.array([-1.0, 0.5, 0.0]), 1.5: np.array([1.5, 0.2])}

    def run(start):
        point = gd.Minimum(0.0, 0.0, 0.0, 2, gd.Stop.CONVERGED)
        steps = np.arange(len(paths[start]))
        return point._replace(path=gd.solve.minimum.Point(steps, paths[start], paths[start] ** 2, 0 * steps))

    picture = plots.compare(run, list(paths), "x^2", (-2, 2), name="start")
    assert "start −1 | start 1.5" in words(picture)
    gif = plots.compare(run, list(paths), "x^2", (-2, 2), gif=tmp_path / "a.gif")
    with Image.open(gif) as moving:
        assert moving.n_frames == 3 and moving.size[0] == 800
    with pytest.raises(ValueError, match="a GIF needs f"):
        plots.compare(run, list(paths), gif=tmp_path / "b.gif")


def test_a_path_that_an_other_covers_is_wider_and_a_number_on_an_edge_lies_under_no_box():
    picture = plots.contour(bowl, BOWL, {"below": PATH, "above": PATH})
    below, above = (line for line in picture.axes[0].lines if line.get_label() in ("below", "above"))
    assert below.get_linewidth() > above.get_linewidth() + 0.5
    drawn = plots.computation(gd.backprop.graph(lambda x, y, z: (x + y) * z - z * x, -2.0, 5.0, -4.0))
    boxes = [patch.get_bbox() for patch in drawn.axes[0].patches if hasattr(patch, "get_boxstyle")]
    on_edges = [text for text in drawn.axes[0].texts if text.get_path_effects()]
    places = [text.get_position() for text in on_edges]
    assert len(set(places)) == 8 and not any(box.contains(*place) for box in boxes for place in places)


def test_pictures_refuse_nonsense():
    with pytest.raises(ValueError, match="f must vary"):
        plots.contour(lambda p: 1.0 + 0 * p[0], BOWL)
    with pytest.raises(ValueError, match=r"must be \(n, 2\), got \(4,\)"):
        plots.contour(bowl, BOWL, {"path": PATH[:, 0]})
    with pytest.raises(ValueError, match="one or two variables"):
        plots.landscape(bowl, ((0, 1),) * 3)


class TestPlanes:
    """Planes through the parameters."""

    @property
    def params(self):
        return {"w": jnp.arange(6.0).reshape(2, 3) + 1, "b": jnp.ones(3)}

    def test_through_three_points(self):
        other = jax.tree.map(lambda x: 2 * x, self.params)
        third = {"w": self.params["w"], "b": jnp.zeros(3)}
        plane = gd.plane_through(self.params, other, third)
        for at, point in (((0, 0), self.params), ((1, 0), other), ((0, 1), third)):
            jax.tree.map(np.testing.assert_allclose, plane(at), point)
            np.testing.assert_allclose(plane.coordinates(point), at, atol=1e-5)
        path = jax.tree.map(lambda *x: jnp.stack(x), self.params, other, third)
        np.testing.assert_allclose(plane.coordinates(path), [[0, 0], [1, 0], [0, 1]], atol=1e-5)
        with pytest.raises(ValueError, match="plane_through: first"):
            gd.plane_through(self.params, {"w": 1.0}, third)

    def test_random_directions_have_the_size_of_each_unit(self):
        plane = gd.random_plane(self.params, 0)
        for direction in (plane.u, plane.v):
            np.testing.assert_allclose(
                jnp.linalg.norm(direction["w"], axis=0), jnp.linalg.norm(self.params["w"], axis=0), rtol=1e-5
            )
            assert (direction["b"] == 0).all()
        assert not np.allclose(plane.u["w"], plane.v["w"])

    def test_the_principal_plane_holds_a_plane_path(self):
        u, v = ({"w": jax.random.normal(jax.random.key(i), (2, 3)), "b": jnp.ones(3) * i} for i in (1, 2))
        at = jax.random.normal(jax.random.key(3), (10, 2))
        path = jax.vmap(gd.Plane(self.params, u, v))(at)
        plane = gd.pca_plane(path)
        again = jax.vmap(plane)(plane.coordinates(path))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), again, path)
        with pytest.raises(ValueError, match="at least 3 rows"):
            gd.pca_plane(jax.tree.map(lambda x: x[:2], path))

    def test_the_loss_over_a_plane(self):
        loss = lambda p: jnp.sum(p["w"] ** 2) + jnp.sum((p["b"] - 1) ** 2)  # noqa: E731
        path = gd.minimize(loss, self.params, gd.sgd(0.1), record=True).path.params
        plane = gd.pca_plane(path)
        figure = plots.loss_surface(loss, plane, path, title="Loss")
        assert has_line(figure, np.asarray(plane.coordinates(path))) and "along the first direction" in words(figure)
        assert "Loss" in words(plots.loss_surface(loss, gd.random_plane(self.params), title="Loss", three_d=True))


def test_the_flow_is_the_limit_of_small_steps():
    with jax.enable_x64(True):
        times = jnp.linspace(0, 1, 5)
        flow = gd.gradient_flow(bowl, jnp.array([1.0, 2.0]), times)
        np.testing.assert_allclose(
            flow, np.stack([np.exp(-2 * times), 2 * np.exp(-8 * times)], -1), rtol=1e-5, atol=1e-7
        )
        tree = gd.gradient_flow(
            lambda p: himmelblau()(jnp.stack([p["a"], p["b"]])), {"a": 0.0, "b": 0.0}, times, rtol=1e-10
        )
        gaps = []
        for rate in (2e-5, 1e-5):
            path = gd.minimize(
                himmelblau().f, jnp.zeros(2), gd.sgd(rate), max_steps=round(0.25 / rate), stop=gd.stopping.never()
            )
            gaps.append(float(jnp.hypot(path.params[0] - tree["a"][1], path.params[1] - tree["b"][1])))
        assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.05), "Euler's method is of first order"


@pytest.mark.parametrize("start", [pytest.param([1e-9, 1.0], marks=pytest.mark.nightly), [-3e-25, 5e11], [2e-3, 0.0]])
def test_the_flow_knows_no_unit(start):
    start, times = np.array(start), np.array([0.0, 0.3, 0.7])
    curvature = np.array([2.0, 5.0])
    path = gd.gradient_flow(lambda p: jnp.sum(curvature * p**2) / 2, start, times)
    np.testing.assert_allclose(path, start * np.exp(-curvature * times[:, None]), rtol=1e-4)
    to = gd.gradient_flow(lambda p: jnp.sum((p - 4e-9) ** 2) / 2, np.zeros(2), times)
    np.testing.assert_allclose(to, 4e-9 * (1 - np.exp(-times[:, None])) * np.ones(2), rtol=1e-4)
    with pytest.raises(ValueError, match="times must be finite and increase"):
        gd.gradient_flow(bowl, start, times[::-1])


def test_an_animation_keeps_its_colors_and_shows_the_short_path(tmp_path):
    long = np.stack([np.linspace(-1.5, 1.5, 3000), np.linspace(2, -2, 3000)], axis=-1)
    paths = {"long": long, "short": PATH, "other": -PATH}
    file = plots.animate(bowl, BOWL, paths, tmp_path / "a.gif", frames=24, minima=[(0.0, 0.0)])
    wanted = [tuple(bytes.fromhex(color[1:])) for color in PATHS[:3]]
    with Image.open(file) as gif:
        assert 15 <= gif.n_frames <= 24
        shots = []
        for i in range(gif.n_frames):
            gif.seek(i)
            shots.append(np.asarray(gif.convert("RGB")))
            for color in wanted:
                assert (shots[-1] == color).all(-1).sum() > 10
    ground = [(shot == shots[0]).all(-1).mean() for shot in shots]
    assert min(ground) > 0.9, "what does not move keeps its color"
    green = [(shot == wanted[1]).all(-1).sum() for shot in shots]
    assert len(set(green[:5])) >= 4, "the short path is walked step by step"


@pytest.mark.parametrize("params", [jnp.ones(3), 1.5, {"w": jnp.zeros((2, 3)), "b": jnp.ones(3)}, {}])
def test_a_random_plane_in_which_nothing_would_move_is_refused(params):
    with pytest.raises(ValueError, match="random_plane: params must have a leaf of two axes or more that is not zero"):
        gd.random_plane(params)
