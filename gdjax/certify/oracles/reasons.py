"""Reasons why a comparison is left out, shared by several oracles."""

NO_COMPLEX = "Optax has no complex parameters"
NO_SCALARS = "Optax fails on scalars"
NOT_RUN = (NO_COMPLEX, NO_SCALARS)
NO_INFINITY = "what inf + i times a number is depends on how it is multiplied out"
NORMS = "what is not finite in one leaf is in the norms of all"
