"""Here the pictures of a report are drawn."""

import pytest


@pytest.fixture
def blank_pictures():
    """In the place of the one that leaves them blank."""
