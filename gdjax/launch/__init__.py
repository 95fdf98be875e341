"""A run by several processes of this machine: ranks that are started, watched and ended together (ranks, watching, output),
the rules by which they start again (policy, without processes) and what is said of it (telling), the run folder between
attempts, and the supervisor.
"""

from gdjax.launch.run_folder import RunFolder, going_on
from gdjax.launch.supervisor import Job, Supervisor, is_free

__all__ = ["Job", "RunFolder", "Supervisor", "going_on", "is_free"]
