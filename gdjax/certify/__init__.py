"""Certificates: each optimizer and wrapper, compared with Optax, an oracle from its paper and torch on recorded sequences.

suite.py           the recordings: parameters, gradients and values of nine cases on one tree, 1,000 steps each
oracles/           the reference implementations, in plain NumPy float64, written from the papers, with the certified calls
examples.py        these calls by name
references.py      Optax's version of a call, and the limits;        wrapper_references.py   the same for wrappers
measure.py         differences of two optimizers on one recording
wrapper_paths.py   a wrapper and its oracle on one recording, each on its own path
closed_loop.py     methods with a line search, run to their end
_certificate.py    the rows of an optimizer;                         wrapper_certificate.py  the rows of a wrapper
row.py             a row;  report.py  the rows as table, Markdown and JSON
"""

from gdjax.certify._certificate import certificate as certificate
from gdjax.certify._certificate import differences as differences
from gdjax.certify.oracles import ORACLES as ORACLES
from gdjax.certify.row import DTYPES as DTYPES
from gdjax.certify.row import Row as Row
