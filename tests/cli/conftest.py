"""Each test of the command line in a folder of its own."""

import jax
import pytest

from gdjax.cli import main as entry


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder of its own, and no compilation cache: the suite must not depend on one; a report's pictures are blank."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(entry, "_use_compilation_cache", lambda: None)
    monkeypatch.setattr("gdjax.runs.assessment.pictures.svg", lambda *_: "<svg></svg>")
    yield tmp_path
    jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_default_device", None)
