"""The formulas of the plan for many accelerators: against messages that are counted one by one, and by hand."""

import numpy as np
import pytest

from experiments.bench import scaling
from experiments.bench.plan import (
    COUNTED,
    DATA_PARALLEL,
    FSDP,
    H100,
    LAYERWISE,
    V5E,
    V5P,
    Model,
    ring_latency,
)
from gdjax.training import Collective


def ring(kind, size, number):
    """The bytes that each of so many sends, and the sums that they end with, message by message."""
    parts = np.arange(number * number, dtype=float).reshape(number, number)  # of device i, part j
    held, sent = parts.copy(), np.zeros(number)
    for turn in range(number - 1) if kind != "all-gather" else ():
        for i, part in [(i, (i - turn) % number) for i in range(number)]:
            held[(i + 1) % number, part] = parts[(i + 1) % number, part] + held[i, part]
            sent[i] += size / number
    whole = held if kind != "all-gather" else np.diag(parts.diagonal())
    for turn in range(number - 1) if kind != "reduce-scatter" else ():
        for i, part in [(i, (i + (kind == "all-reduce") - turn) % number) for i in range(number)]:
            whole[(i + 1) % number, part] = whole[i, part]
            sent[i] += size / number
    return sent, parts, whole


@pytest.mark.parametrize("number", [2, 5, 8])
def test_a_ring_sends_what_is_said(number):
    sent, parts, whole = ring("all-reduce", 1e6, number)
    np.testing.assert_array_equal(whole, np.tile(parts.sum(axis=0), (number, 1)))
    np.testing.assert_allclose(sent, Collective("all-reduce", 10**6, number, ()).sent)
    _, parts, whole = ring("all-gather", 1e6, number)
    np.testing.assert_array_equal(whole, np.tile(parts.diagonal(), (number, 1)))
    for kind in ("all-reduce", "all-gather", "reduce-scatter"):
        sent, *_ = ring(kind, 1e6, number)
        np.testing.assert_allclose(sent, Collective(kind, 10**6, number, ()).sent)
        seconds = H100.seconds(kind, 1e6, number) - H100.seconds(kind, 0, number)
        np.testing.assert_allclose(sent / 450e9, seconds, rtol=1e-9)


def test_the_plan_by_hand():
    model = Model(1e9, 1 << 22, 24)
    assert [way.memory(model, 64) for way in (DATA_PARALLEL, FSDP)] == [(12e9, 4e9), (0.1875e9, 8e9)]
    np.testing.assert_allclose(LAYERWISE.memory(model, 64), (0.1875e9, 0.0625e9 + 2 * 4e9 / 24))
    one_pass = 63 / 64 * 4e9 / 400e9 + 7 * 3.4e-6 + 3 * 14e-6  # 8 cards of 50 GB/s leave a node, 8 nodes are 3 levels
    np.testing.assert_allclose(DATA_PARALLEL.seconds(H100, model, 64), 2 * one_pass)
    np.testing.assert_allclose(FSDP.seconds(H100, model, 64), 2 * one_pass)  # a gather and a scatter
    torus = 4095 / 4096 * 4e9 / 600e9
    np.testing.assert_allclose(LAYERWISE.seconds(V5P, model, 4096), 3 * (torus + 24 * 24e-6))  # 16 x 16 x 16
    assert V5E.bandwidth(256) == V5E.bandwidth(4096) == 200e9 and H100.bandwidth(8) == 450e9
    np.testing.assert_allclose(ring_latency(H100, 64), 56 * 3.4e-6 + 7 * 14e-6)


@pytest.mark.nightly
def test_what_the_page_goes_on_from_is_counted_again():
    """On one device and on two, each in a process of its own."""
    figures, seconds = scaling.measure([1, 2], repeats=1)
    whole = figures["data parallel", 1]["state"]
    assert all(each["work"] == 1 for each in figures.values()) and all(len(each) == 1 for each in seconds.values())
    assert figures["fsdp", 2]["state"] < 0.505 * whole == 0.505 * figures["data parallel", 2]["state"]
    for way, counted in COUNTED.items():
        found = figures[way, 2]["exchanged"]
        assert found.keys() == counted.keys()
        np.testing.assert_allclose([found[kind] / scaling.PARAMETERS for kind in counted], 1, rtol=0.01)
    assert "fsdp" in scaling.report(figures, seconds)
