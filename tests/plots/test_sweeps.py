"""Pictures of a sweep: what is drawn is what the table says, beside a legend that hides nothing."""

import itertools

import numpy as np
import pytest
from matplotlib.patches import Rectangle

import gdjax as gd
from gdjax.plots import sweep_values
from gdjax.plots._sweeps import GONE
from gdjax.sweeps import SweepTable

RATES = [1e-4, 1e-3, 1e-2, 1e-1]


def table_of(configurations, seeds=3):
    """Values 10, 11, ... by configuration, a tenth for each seed; runs of the last go wrong, and one of that before."""
    number = len(configurations)
    which, seed = np.repeat(np.arange(number), seeds), np.tile(np.arange(seeds), number)
    stop = np.full(len(which), "BUDGET", dtype="<U10")
    stop[-seeds - 1 :] = "DIVERGED"
    value = np.where(stop == "BUDGET", 10 + which + 0.1 * seed, np.inf)
    none = np.ones(len(which))
    return SweepTable(tuple(configurations), which, seed, stop, value, none, none, none.astype(int), "validation_loss")


def line(drawn, label):
    (found,) = [each for each in drawn.get_lines() if each.get_label().startswith(label)]
    return np.asarray(found.get_xdata(), float), np.asarray(found.get_ydata(), float)


def check_legend(picture, *labels):
    """The legend has these words, and lies off the axes."""
    picture.draw_without_rendering()
    (legend,) = picture.legends
    assert {text.get_text() for text in legend.get_texts()} == set(labels)
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_window_extent()) for axes in picture.axes) and box.y0 >= 0


def test_one_axis_has_means_intervals_and_what_went_wrong():
    table = table_of([{"optimizer.learning_rate": rate} for rate in RATES])
    picture = sweep_values(table, "digits")
    (drawn,) = picture.axes
    assert (drawn.get_xlabel(), drawn.get_ylabel(), drawn.get_xscale()) == ("learning rate", "validation loss", "log")
    x, y = line(drawn, "mean over the seeds")
    np.testing.assert_allclose(x, RATES)
    np.testing.assert_allclose(y, [10.1, 11.1, 12.05, np.nan])
    np.testing.assert_allclose(line(drawn, "a run")[1], [10, 10.1, 10.2, 11, 11.1, 11.2, 12, 12.1])
    np.testing.assert_allclose(line(drawn, "some runs went wrong")[0], RATES[2:])
    assert [float(each[0]) for each in line(drawn, "best")] == [1e-4, 10.1]
    check_legend(
        picture, "a run", "mean over the seeds", "95 % interval of the mean", "some runs went wrong", "best: 0.0001"
    )
    names = sweep_values(table_of([{"optimizer": name} for name in ("sgd", "adam", "lion")]))
    assert [text.get_text() for text in names.axes[0].get_xticklabels()] == ["adam", "lion", "sgd"]
    with pytest.raises(ValueError, match="the sweep must have an axis of several values, got none"):
        sweep_values(table_of([{"optimizer": "sgd"}]))


def test_two_axes_are_the_cells_of_a_grid_or_dots():
    grid = [{"learning_rate": a, "decay": b} for a, b in itertools.product(RATES, [0, 0.1])]
    picture = sweep_values(table_of(grid))
    drawn = picture.axes[0]
    texts = {tuple(text.get_position()): text.get_text() for text in drawn.texts}
    assert texts == {
        (i, j): f"{10.1 + 2 * i + j - (2 * i + j == 6) * 0.05:.3g}" for i in range(4) for j in (0, 1) if i + j < 4
    }
    cells = {each.get_xy(): each for each in drawn.patches if isinstance(each, Rectangle) and each.get_fill()}
    shades = [sum(cells[i - 0.5, -0.5].get_facecolor()[:3]) for i in range(4)]
    assert shades == sorted(shades) and len(cells) == 8
    assert cells[2.5, 0.5].get_facecolor()[:3] == pytest.approx([int(GONE[1:3], 16) / 255] * 3)
    np.testing.assert_array_equal(np.floor(np.array(line(drawn, "some")) + 0.5), [[3, 3], [0, 1]])
    (best,) = [each for each in drawn.patches if isinstance(each, Rectangle) and not each.get_fill()]
    assert best.get_xy() == (-0.5, -0.5)
    check_legend(picture, "some runs went wrong", "best")
    drawn = sweep_values(table_of([{"b1": 0.1 * i, "rate": 10.0**-i} for i in range(1, 5)])).axes[0]
    np.testing.assert_allclose([float(each[0]) for each in line(drawn, "best")], [0.1, 0.1])
    assert (drawn.get_xscale(), drawn.get_yscale()) == ("linear", "log")
    calls = [{"optimizer": make(rate), "learning_rate": rate} for make in (gd.sgd, gd.adam) for rate in RATES]
    drawn = sweep_values(table_of(calls)).axes[0]  # each call is another, by its rate, and yet they are two
    assert [text.get_text() for text in drawn.get_xticklabels()] == ["adam", "sgd"]


def test_many_axes_are_parallel():
    axes = itertools.product(RATES, ["sgd", "adam"], [0, 0.5, 1])
    picture = sweep_values(table_of([dict(zip(("rate", "optimizer", "b1"), each, strict=True)) for each in axes]))
    (drawn,) = picture.axes
    lines = [np.asarray(each.get_ydata(), float) for each in drawn.get_lines() if len(each.get_ydata()) == 4]
    assert len(lines) == 23 and [text.get_text() for text in drawn.get_xticklabels()][-1] == "validation loss"
    _, best = line(drawn, "best")
    np.testing.assert_allclose(best, [0, 1, 0, 0], atol=0.016)  # rate 1e-4, sgd, b1 0 and the least value
    assert max(each[-1] for each in lines) == 1
    check_legend(picture, "best", "not drawn: 1 configuration, of which every run went wrong")
