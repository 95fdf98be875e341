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


def a_standing(name, scores, times):
    scores, times = np.asarray(scores, float), np.asarray(times, float)
    final, time = float(np.median(scores)), float(np.median(times))
    spans = (float(scores.min()), float(scores.max())), (float(times.min()), float(times.max()))
    return gd.sweeps.Standing(
        name,
        gd.sgd(0.1),
        (),
        ({},),
        scores,
        scores[:, None],
        scores,
        final,
        spans[0],
        times,
        time,
        spans[1],
        0.0,
        100,
        100,
    )


def test_the_standings_show_finals_times_and_what_is_not_significantly_worse():
    rows = (
        a_standing("adam", [0.10, 0.12, 0.11], [40, 50, 60]),
        a_standing("sgd", [0.13, 0.10, 0.14], [45, 55, np.inf]),
        a_standing("$slow$", [3.0, 4.0, np.inf], [np.inf] * 3),
        a_standing("wild", [3.0, np.inf, np.inf], [np.inf] * 3),
    )
    pairs = (
        gd.sweeps.Comparison("adam", "$slow$", -np.inf, 0.01, 0.03, True),
        gd.sweeps.Comparison("adam", "sgd", -0.02, 0.2, 0.4, False),
    )
    found = gd.Tournament(rows, pairs, "validation loss", 0.12, 100, 8, 10, 2, 0.05)
    picture = found.plot(title="Four optimizers")
    left, right = picture.axes
    finals = [line for line in left.lines if line.get_gid() == "final"]
    assert [line.get_xdata()[0] for line in finals] == [0.11, 0.13, 4.0] and finals[0].get_color() == finals[
        1
    ].get_color()
    assert [line.get_xdata()[0] for line in right.lines if line.get_gid() == "time"] == [50, 55]
    bars = [line for line in left.lines if line.get_gid() == "interval"]
    assert len(bars) == 3 and bars[2].get_color() != bars[1].get_color()
    assert [text.get_text() for text in (*left.texts, *right.texts)] == ["went wrong", "never", "never"]
    assert right.get_xlim()[1] >= 100 and [each.get_text() for each in left.get_yticklabels()][2] == "$slow$"
    picture.draw_without_rendering()
    with pytest.raises(ValueError, match="standings: tournament must be what"):
        gd.plots.standings([1])
