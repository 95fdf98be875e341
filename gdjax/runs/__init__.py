"""Runs on tables and texts: their options (options), the problem they pose (problem), what is chosen (work), the folder."""

from typing import TYPE_CHECKING

from gdjax.first_touch import import_on_first_touch

if TYPE_CHECKING:
    from gdjax.runs._train import Training, name_of, train
    from gdjax.runs.beginning import begin
    from gdjax.runs.cadence import Cadence
    from gdjax.runs.compare import Overview, list_runs
    from gdjax.runs.config import ConfigError, DataConfig, RunConfig, TextConfig
    from gdjax.runs.damage import RecordError
    from gdjax.runs.defaults import Choice
    from gdjax.runs.evaluation import evaluate_on, predicted_file, reevaluation, shown
    from gdjax.runs.failure import advise, explain_failure, read_failure
    from gdjax.runs.folder import (
        LoadedRun,
        check_folder,
        load,
        load_table,
        new_folder,
        next_folder,
        open_folder,
        read_config,
    )
    from gdjax.runs.intervals import half_width
    from gdjax.runs.job import Job, Settings, plan, prepare, progress, went_wrong
    from gdjax.runs.language.loaded import LoadedText, load_text
    from gdjax.runs.language.ngrams import NGrams, fit_ngrams
    from gdjax.runs.language.work import LanguageWork
    from gdjax.runs.options import ReadingOptions, TrainOptions
    from gdjax.runs.problem import Problem, pose, table_of
    from gdjax.runs.recording import Recording
    from gdjax.runs.resuming import resumption
    from gdjax.runs.sweeping._sweep import Sweeping
    from gdjax.runs.sweeping.folder import read_sweep
    from gdjax.runs.sweeping.options import SweepOptions
    from gdjax.runs.sweeping.race import Race, TournamentOptions, all_went_wrong
    from gdjax.runs.sweeping.range_test import RangeTestOptions, find_rates
    from gdjax.runs.tensorboard import TensorBoard
    from gdjax.runs.work import Work, choose
    from gdjax.training import CheckpointError

ON_FIRST_TOUCH = import_on_first_touch(__name__)

__all__ = [
    "Cadence",
    "CheckpointError",
    "Choice",
    "ConfigError",
    "DataConfig",
    "Job",
    "LanguageWork",
    "LoadedRun",
    "LoadedText",
    "NGrams",
    "Overview",
    "Problem",
    "Race",
    "RangeTestOptions",
    "ReadingOptions",
    "RecordError",
    "Recording",
    "RunConfig",
    "Settings",
    "SweepOptions",
    "Sweeping",
    "TensorBoard",
    "TextConfig",
    "TournamentOptions",
    "TrainOptions",
    "Training",
    "Work",
    "advise",
    "all_went_wrong",
    "begin",
    "check_folder",
    "choose",
    "evaluate_on",
    "explain_failure",
    "find_rates",
    "fit_ngrams",
    "half_width",
    "list_runs",
    "load",
    "load_table",
    "load_text",
    "name_of",
    "new_folder",
    "next_folder",
    "open_folder",
    "plan",
    "pose",
    "predicted_file",
    "prepare",
    "progress",
    "read_config",
    "read_failure",
    "read_sweep",
    "reevaluation",
    "resumption",
    "shown",
    "table_of",
    "train",
    "went_wrong",
]
