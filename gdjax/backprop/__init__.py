"""Backpropagation, computed by hand, as a graph, checked, and measured.

by_hand     BP1 to BP4 for fully connected networks, equal to jax.grad
graph       the graph of any function, with the value and the adjoint of every node
check       any gradient compared with differences of the loss, with a verdict for each leaf
flow        norms of gradients and states of units in any model, layer by layer, once or along a run
replay      the place in the source where the first non-finite value of a training step was born
"""

from gdjax.backprop._flow import Flow, Watch, flow, watch
from gdjax.backprop._graph import graph
from gdjax.backprop._replay import replay
from gdjax.backprop.birth import Birth
from gdjax.backprop.by_hand import Pass, backpropagate, cost_of, fold_bias, product_gradients, table, with_ones
from gdjax.backprop.check import check_gradients
from gdjax.backprop.nodes import Graph, Node
from gdjax.backprop.quotients import difference_quotients
from gdjax.backprop.verdict import Check, Probe

__all__ = [
    "Birth",
    "Check",
    "Flow",
    "Graph",
    "Node",
    "Pass",
    "Probe",
    "Watch",
    "backpropagate",
    "check_gradients",
    "cost_of",
    "difference_quotients",
    "flow",
    "fold_bias",
    "graph",
    "product_gradients",
    "replay",
    "table",
    "watch",
    "with_ones",
]
