"""Certificates: each optimizer against Optax, its paper's oracle and torch, all fed the same recorded sequences.

suite.py         the recordings: parameters, gradients and values of nine cases on one tree, 1,000 steps each
oracles/         what each optimizer must equal: plain NumPy float64, written from the papers
examples.py      the calls of each optimizer that are certified
references.py    Optax's twin of a call, and how near each must come
measure.py       two optimizers on one recording, and where they part
certificate.py   the rows of an optimizer;  report.py  the rows as table, Markdown and JSON
"""

from gdjax.certify.certificate import DTYPES as DTYPES
from gdjax.certify.certificate import Row as Row
from gdjax.certify.certificate import certificate as certificate
from gdjax.certify.certificate import certify as certify
from gdjax.certify.oracles import ORACLES as ORACLES
