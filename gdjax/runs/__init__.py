"""Saved runs: their configuration (config), their execution (job), their folder and their report."""

from gdjax.runs.cadence import Cadence
from gdjax.runs.compare import Overview, list_runs
from gdjax.runs.config import ConfigError, DataConfig, RunConfig
from gdjax.runs.damage import RecordError
from gdjax.runs.failure import advise, explain_failure, read_failure
from gdjax.runs.folder import LoadedRun, finish_run, new_folder, next_folder, open_folder, read_config, read_run
from gdjax.runs.job import Job, Settings, Work, config_of, plan, prepare, progress, went_wrong
from gdjax.runs.recording import Recording
from gdjax.runs.resuming import resumption
from gdjax.runs.table import predictions
from gdjax.runs.tensorboard import TensorBoard
from gdjax.training import CheckpointError

__all__ = [
    "Cadence",
    "CheckpointError",
    "ConfigError",
    "DataConfig",
    "Job",
    "LoadedRun",
    "Overview",
    "RecordError",
    "Recording",
    "RunConfig",
    "Settings",
    "TensorBoard",
    "Work",
    "advise",
    "config_of",
    "explain_failure",
    "finish_run",
    "list_runs",
    "new_folder",
    "next_folder",
    "open_folder",
    "plan",
    "predictions",
    "prepare",
    "progress",
    "read_config",
    "read_failure",
    "read_run",
    "resumption",
    "went_wrong",
]
