"""The process of the page, as it is by itself."""

import io
import os
from pathlib import Path
from queue import SimpleQueue

import pytest

from proximax.web import page_main


class Ended(Exception):
    """In the place of the process's end."""


@pytest.fixture
def commands(monkeypatch):
    """(where the parent writes, what the process reads)."""
    reading, writing = os.pipe()

    def end(code):
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(os, "nice", lambda more: 0)
    with open(writing, "wb", buffering=0) as parent, io.FileIO(reading) as process:
        yield parent, process


def test_folders_are_passed_on_and_the_end_of_the_parent_is_the_end(commands):
    parent, process = commands
    parent.write(b'"a"\n"b \\udcff"\n')
    parent.close()
    folders = SimpleQueue()
    with pytest.raises(Ended, match="0"):
        page_main.read_commands(process, folders)
    assert [folders.get(), folders.get()] == [Path("a"), Path("b \udcff")]


def test_a_parent_that_ends_before_it_says_what_to_serve(commands, monkeypatch):
    parent, process = commands
    parent.close()
    monkeypatch.setattr(io, "FileIO", lambda number, closefd: process)
    monkeypatch.setattr(page_main, "serve", None)  # would raise
    page_main.main()
