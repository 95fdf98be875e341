"""A run by several processes of this machine: ranks that are started, watched and ended together (ranks, watching, output),
the rules by which they start again (policy, without processes), the run folder between attempts, and the supervisor.
"""

from gdjax.launch.supervisor import Job, Supervisor, is_free

__all__ = ["Job", "Supervisor", "is_free"]
