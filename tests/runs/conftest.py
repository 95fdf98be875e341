"""The pictures of a report are drawn in its own tests alone: they take most of a second, after each run."""

import pytest


@pytest.fixture(autouse=True)
def blank_pictures(monkeypatch):
    monkeypatch.setattr("gdjax.runs.assessment.pictures.svg", lambda *_: "<svg></svg>")
