"""Certificates: each optimizer and wrapper against Optax, its paper's oracle and torch, fed the same recorded sequences.

suite.py         the recordings: parameters, gradients and values of nine cases on one tree, 1,000 steps each
oracles/         what each optimizer must equal: plain NumPy float64, written from the papers, with the calls certified
examples.py      those calls by name
references.py    Optax's twin of a call, and how near each must come;  wrapper_references.py   of each wrapper
measure.py       two optimizers on one recording, and where they part
wrapper_paths.py two wrappers on one recording, each on its own path
closed_loop.py   what searches is run to its end
certificate.py   the rows of an optimizer;                             wrapper_certificate.py  of each wrapper
row.py           a row;  report.py  the rows as table, Markdown and JSON
"""

from gdjax.certify._certificate import certificate as certificate
from gdjax.certify._certificate import differences as differences
from gdjax.certify.oracles import ORACLES as ORACLES
from gdjax.certify.row import DTYPES as DTYPES
from gdjax.certify.row import Row as Row
