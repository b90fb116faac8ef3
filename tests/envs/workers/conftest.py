"""What all tests of worker processes need."""

import pytest

from proximax.envs.workers import vector_env


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    """The same shares whatever machine the tests run on."""
    monkeypatch.setattr(vector_env, "usable_cores", lambda: [0, 1])
