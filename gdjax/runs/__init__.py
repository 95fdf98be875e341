"""Saved runs: their configuration (config), their execution (job), their folder and their report."""

from gdjax.runs.config import ConfigError, DataConfig, RunConfig
from gdjax.runs.folder import LoadedRun, RecordError, load_run, new_folder, read_config, write_run
from gdjax.runs.job import Job, Settings, config_of, plan, prepare, progress, went_wrong
from gdjax.runs.table import predictions

__all__ = [
    "ConfigError",
    "DataConfig",
    "Job",
    "LoadedRun",
    "RecordError",
    "RunConfig",
    "Settings",
    "config_of",
    "load_run",
    "new_folder",
    "plan",
    "predictions",
    "prepare",
    "progress",
    "read_config",
    "went_wrong",
    "write_run",
]
