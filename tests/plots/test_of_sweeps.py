"""Pictures of what sweeps find: the marks are where the numbers are, and nothing lies outside or on another."""

import numpy as np
import pytest

import gdjax as gd
from gdjax.plots import range_test
from gdjax.sweeps.range_curve import read_curve


def a_test(level=1.0, name="adam"):
    rates = np.geomspace(1e-7, 10, 200)
    progress = np.append(0, np.cumsum(rates)[:-1])
    losses = np.stack([level + np.exp(-speed * progress) + (rates / 3) ** 4 for speed in (5, 10, 40)])
    readings = tuple(read_curve(rates, row) for row in losses)
    return gd.RangeTest(getattr(gd, name)(0.1), "optimizer.learning_rate", rates, losses, (0, 1, 2), readings)


def by_gid(picture, gid):
    return picture.findobj(lambda artist: artist.get_gid() == gid)


def test_a_range_test_shows_its_suggestion_and_interval():
    test = a_test()
    picture = test.plot(title="Adam")
    (line,), (span,) = by_gid(picture, "suggestion"), by_gid(picture, "interval")
    assert set(line.get_xdata()) == {test.rate}
    assert (span.get_x(), span.get_x() + span.get_width()) == pytest.approx(test.interval)
    assert f"suggested {test.rate:.2g}" in picture.axes[0].texts[0].get_text()
    picture.draw_without_rendering()
    box = picture.get_tightbbox()
    assert min(box.x0, box.y0) >= -0.01 and box.x1 <= picture.get_size_inches()[0] + 0.01


def test_several_range_tests_share_an_axis_and_one_without_a_rate_says_so():
    flat = a_test()
    flat = gd.RangeTest(flat.given, flat.path, flat.rates, flat.losses, (0,), (read_curve(flat.rates, np.ones(200)),))
    picture = range_test({"sgd": a_test(name="sgd"), "adam": flat})
    first, second = picture.axes
    assert first.get_xlim() == second.get_xlim() and "sgd" in first.get_ylabel()
    assert "never fell" in second.texts[0].get_text() and len(by_gid(picture, "suggestion")) == 1
    with pytest.raises(ValueError, match="range_test: tests must be what find_learning_rate returns"):
        range_test([1, 2])
