"""Every peer of the benchmarks that is installed trains the network of the comparison."""

import importlib

import pytest

from experiments.bench.peers import PEERS
from experiments.bench.training_case import TrainingCase


@pytest.mark.nightly
@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")  # of the peers
@pytest.mark.parametrize("name", [peer for peer in PEERS if peer != "floor"])
def test_a_peer_learns_the_digits(name):
    try:
        peer = importlib.import_module(f"experiments.bench.peers.{name}")
    except ImportError as error:
        pytest.skip(f"not installed: {error.name}")
    accuracy = peer.build(TrainingCase(sizes=(64, 32, 10), epochs=3, rate=5e-3))()
    assert len(accuracy) == 3
    assert accuracy[-1] > 0.8
