"""The peers, one file each: `NAME`, `PACKAGES` (the first is the library itself), `build(case) -> call`.

A call trains from the start of the case to its end, in the library's own idiom, and returns the accuracy on the validation
rows after each epoch. What is compiled is compiled in the first call, and `build` again is what a user does who changes a
number and runs the script or the cell again in the same process.
"""

PEERS = (
    "ours_run",
    "ours",
    "optax_loop",
    "optax_scan",
    "cyreal_scan",
    "flax_nnx",
    "equinox_loop",
    "keras_fit",
    "torch_eager",
    "torch_compiled",
    "sklearn_mlp",
    "floor",
)
