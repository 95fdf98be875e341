"""Which processes a computation has, as the environment says: that of a launcher, or of a cluster that JAX knows.

    GDJAX_COORDINATOR   the address of process 0 and a free port there, such as 10.0.0.1:4711
    GDJAX_PROCESSES     how many there are; 1 for a run of its own, whatever the cluster says
    GDJAX_PROCESS       the number of this one, from 0

Without these: a step of SLURM with several tasks, mpirun, an indexed Job of Kubernetes, the hosts of a TPU pod.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import NamedTuple

COUNTS = {"slurm": "SLURM_STEP_NUM_TASKS", "ompi": "OMPI_COMM_WORLD_SIZE", "mpi4py": "PMI_SIZE"}  # by JAX's names
SET = "set GDJAX_COORDINATOR, GDJAX_PROCESSES and GDJAX_PROCESS; GDJAX_PROCESSES=1 for a run of its own"


class ProcessError(RuntimeError):
    """The processes did not come together, or one of them has failed; the message is one line.

    Args:
        code: with which a command ends.
    """

    code: int

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code


class Place(NamedTuple):
    """Where a process stands among the others."""

    coordinator: str  # host:port of process 0
    count: int
    index: int
    devices: list[int] | None = None  # the only ones of its host that it uses


def find_place(seconds: float) -> Place | None:
    """Where this process stands; None in a run of its own."""
    names = ("GDJAX_COORDINATOR", "GDJAX_PROCESSES", "GDJAX_PROCESS")
    said = [os.environ.get(name) for name in names]
    if said[1] == "1":
        return None
    if not any(said):
        return _place_in_cluster(seconds)
    coordinator, count, index = said
    host, _, port = (coordinator or "").rpartition(":")
    numbers = (count or "").isdecimal() and (index or "").isdecimal() and port.isdecimal()
    is_address = host != "" and numbers and 0 < int(port) < 1 << 16
    if not coordinator or not is_address or not 0 <= int(index or 0) < int(count or 0):
        shown = ", ".join(f"{name}={value}" for name, value in zip(names, said, strict=True))
        raise ProcessError(
            f"the environment must give host:port, a number of processes and a number below it, got {shown}", 2
        )
    return Place(coordinator, int(count or 0), int(index or 0))


def _place_in_cluster(seconds: float) -> Place | None:
    if (method := _cluster()) is None:
        return None
    from jax._src.clusters import ClusterEnv  # how jax.distributed.initialize finds its arguments

    if method == "mpi4py" and find_spec("mpi4py") is None:
        raise ProcessError(f"several processes were started by MPI, which JAX asks with mpi4py: install it, or {SET}")
    chosen = None if method == "tpu" else method  # of which JAX has several
    try:
        found = ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, chosen, int(seconds))
    except Exception as error:
        raise ProcessError(f"the processes of {method} were not found: {' '.join(str(error).split())[:300]}") from error
    coordinator, count, index, devices = found
    if count == 1 or (count is None and method == "tpu"):
        return None
    if coordinator is None or count is None or index is None:
        raise ProcessError(f"JAX does not find the processes of {method}: {SET}")
    if (said := os.environ.get(COUNTS.get(method, ""), str(count))) != str(count):
        raise ProcessError(f"{COUNTS[method]}={said}, but JAX finds {count} processes of {method}: {SET}")
    return Place(coordinator, count, index, None if devices is None else [*devices])


def _cluster() -> str | None:
    """The cluster whose environment says that there are several processes, by JAX's name for it.

    A shell within an allocation of SLURM is none: its step has one task, whatever the allocation has.
    """
    several = [name for name, variable in COUNTS.items() if os.environ.get(variable, "1") not in ("", "1")]
    if several:
        return several[0]
    if "KUBERNETES_SERVICE_HOST" in os.environ and "JOB_COMPLETION_INDEX" in os.environ:
        return "k8s"
    hosts = os.environ.get("TPU_PROCESS_ADDRESSES") or os.environ.get("TPU_WORKER_HOSTNAMES") or ""
    return "tpu" if "," in hosts or _is_on_tpu_vm() else None


def _is_on_tpu_vm() -> bool:
    """Whether JAX runs on a Cloud TPU, whose metadata alone say how many hosts it has."""
    from jax._src.cloud_tpu_init import running_in_cloud_tpu_vm

    return running_in_cloud_tpu_vm
