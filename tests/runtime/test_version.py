"""The version stands in one place."""

import importlib.metadata
import re

import proximax.runtime.version as module
from proximax.runtime import proximax_version


def test_it_is_that_of_the_package_and_unknown_without_one(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    assert proximax_version() == "unknown" or re.fullmatch(r"\d+\.\d+.*", proximax_version())
    monkeypatch.setattr(module, "version", lambda name: f"9.9 of {name}")
    assert proximax_version() == "9.9 of proximax"
    monkeypatch.setattr(module, "version", missing)
    assert proximax_version() == "unknown"
