"""How much the devices compute in matrix products and convolutions, which are nearly all that a network computes.

A compiled program tells its operations (`cost_analysis`), but with those of the optimizer, which data parallelism does on
every device, of padding and of masks: in a small network they are a third of all. The products alone are divided exactly.
"""

from __future__ import annotations

import math
import re
from typing import Any

from jax.stages import Compiled, Lowered

from gdjax.training.collectives import devices_of, dims_of, shape_of

ALL = 0.99  # of the operations: with less, some of the products are not seen


def work_ratio(lowered: Lowered, compiled: Compiled) -> float | None:
    """The operations in matrix products on all devices together, over those of the program as written.

    It is 1 if nothing is computed twice, and the number of devices if each of them computes everything. Each product counts
    once, also one in a loop. None if there are none, the backend shows none, or it computes some in another way, as a
    product with one row.
    """
    executable: Any = compiled.runtime_executable()
    if not hasattr(executable, "hlo_modules"):
        return None
    written: Any = lowered.compiler_ir("hlo")
    each = sum(map(operations, executable.hlo_modules()))
    once = operations(written.get_hlo_module() if hasattr(written, "get_hlo_module") else written.as_hlo_module())
    ratio = each * devices_of(compiled) / once if once else 0
    return ratio if ratio > ALL else None


def operations(module: Any) -> int:
    """Additions and multiplications in the products of a module."""
    return sum(_operations(each) for part in module.computations() for each in part.instructions())


def _operations(instruction: Any) -> int:
    name = instruction.opcode.name
    if name not in ("kDot", "kConvolution", "kCustomCall"):
        return 0
    text, operands = instruction.to_string(), [dims_of(shape_of(each)) for each in instruction.operands()]
    result = dims_of(shape_of(instruction))  # the first array, if it is a tuple
    if name == "kConvolution":  # kernel labels such as 01io: all axes but that of the features of the result
        features = re.search(r"dim_labels=\w+_(\w+)->", text)
        length = math.prod(operands[1]) // operands[1][features[1].index("o")] if features else 0
        return 2 * math.prod(result) * length
    axes = re.search(r'lhs_contracting_dim(?:s=\{|ensions":\[")([\d,"]*)', text)  # of dot, or of a call of a library
    return 2 * math.prod(result) * math.prod(operands[0][int(i)] for i in re.findall(r"\d+", axes[1])) if axes else 0
