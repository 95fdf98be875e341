"""Saved runs: their configuration (config), their execution (job), their folder and their report."""

from gdjax.runs.compare import Overview, list_runs
from gdjax.runs.config import ConfigError, DataConfig, RunConfig
from gdjax.runs.damage import RecordError
from gdjax.runs.folder import LoadedRun, finish_run, new_folder, read_config, read_run
from gdjax.runs.job import Job, Settings, config_of, plan, prepare, progress, went_wrong
from gdjax.runs.recording import Recording
from gdjax.runs.table import predictions
from gdjax.runs.tensorboard import TensorBoard

__all__ = [
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
    "config_of",
    "finish_run",
    "list_runs",
    "new_folder",
    "plan",
    "predictions",
    "prepare",
    "progress",
    "read_config",
    "read_run",
    "went_wrong",
]
