"""A run on a cluster of Ray, which starts its workers, watches them, and starts them again: what becomes of a job (engine),
what a worker does in each attempt (worker), when it is tried again (restarts), and `train`.
"""

from gdjax.cluster._train import train
from gdjax.cluster.engine import ClusterJob, Outcome, run_job

__all__ = ["ClusterJob", "Outcome", "run_job", "train"]
