"""What reaches the terminal of what the library logs: which lines, escaped, and never the end of a run."""

import ast
import io
import logging
import subprocess
import sys
from contextlib import contextmanager

import pytest

import proximax
from proximax.runtime.console import (
    DOCTOR,
    LOGGER,
    PROGRESS,
    SIGNALS,
    ConsoleHandler,
    can_encode,
    is_terminal,
    show_messages,
    write_stderr,
)
from tests.support.imports import MODULES, room
from tests.support.saved_runs import TINY

MODULE = logging.getLogger("proximax.runs.anything")


def test_each_kind_of_message_has_its_line(capsys):
    MODULE.info("a note")
    MODULE.warning("be careful")
    MODULE.error("went wrong")
    DOCTOR.warning("error entropy: gone")
    PROGRESS.info("       2,048 steps")
    SIGNALS.warning("SIGINT: stopping")
    assert capsys.readouterr().err.split("\n") == [
        "proximax: note: a note",
        "proximax: warning: be careful",
        "proximax: error: went wrong",
        "proximax: doctor: error entropy: gone",
        "       2,048 steps",
        "",  # after the terminal's ^C
        "proximax: SIGINT: stopping",
        "",
    ]


def test_what_a_terminal_would_obey_is_escaped(capsys):
    MODULE.warning("\x1b]0;boom\x07 %d and \u202e", 3)
    assert capsys.readouterr().err == "proximax: warning: \\x1b]0;boom\\x07 3 and \\u202e\n"


def test_quiet_silences_notes_alone_and_only_within_its_block(capsys):
    with show_messages(quiet=True):
        MODULE.info("within")
        MODULE.warning("still here")
        with show_messages():
            MODULE.info("within another")
    MODULE.info("after")
    assert capsys.readouterr().err == "proximax: warning: still here\nproximax: note: after\n"


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stderr", ["closed", "full", "none"])
def test_a_stderr_that_takes_nothing_ends_no_run(stderr, monkeypatch, capsys):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", {"closed": closed, "full": Full(), "none": None}[stderr])
    MODULE.warning("lost")
    write_stderr("lost")
    assert capsys.readouterr().out == ""


def test_only_a_stream_that_says_so_is_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    closed = io.StringIO()
    closed.close()
    assert [is_terminal(stream) for stream in (closed, None, io.StringIO())] == [False] * 3
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    assert is_terminal(terminal)


@contextmanager
def unconfigured(monkeypatch):
    """As in a program that has not configured logging. Not a fixture: pytest adds its handlers after those."""
    with monkeypatch.context() as patch:
        for logger in (LOGGER, logging.getLogger()):
            patch.setattr(logger, "handlers", [])
        level = LOGGER.level
        LOGGER.setLevel(logging.NOTSET)
        yield
        LOGGER.setLevel(level)


def test_without_configured_logging_messages_are_printed_for_the_length_of_the_block(capsys, monkeypatch):
    with unconfigured(monkeypatch):
        with show_messages():
            MODULE.info("within")
        assert capsys.readouterr().err == "proximax: note: within\n"
        MODULE.info("after")
        assert capsys.readouterr().err == ""
        assert (LOGGER.handlers, LOGGER.level) == ([], logging.NOTSET)


@pytest.mark.parametrize("name", ["", "proximax"])
def test_a_program_that_has_configured_logging_gets_records_and_nothing_is_printed(name, capsys, monkeypatch):
    records = []

    class Handler(logging.Handler):
        def emit(self, record):
            records.append((record.name, record.levelname, record.getMessage()))

    with unconfigured(monkeypatch):
        logging.getLogger(name).addHandler(Handler())
        with show_messages():
            MODULE.warning("for the program")
        assert records == [("proximax.runs.anything", "WARNING", "for the program")]
        assert capsys.readouterr().err == ""
        with show_messages(always=True):  # the command line shows them all the same
            MODULE.warning("again")
        assert capsys.readouterr().err == "proximax: warning: again\n"
        assert not any(isinstance(handler, ConsoleHandler) for handler in LOGGER.handlers)


RUN = """
import logging, sys
import proximax
if "records" in sys.argv:
    logging.basicConfig(level=logging.INFO, format="RECORD %(name)s %(levelname)s %(message)s")
proximax.train("probe:matching", out=sys.argv[1], resume="auto", quiet="quiet" in sys.argv, **{tiny})
"""


@pytest.mark.process
@pytest.mark.parametrize("how", ["plain", "quiet", "records"])
def test_a_run_shows_its_notes_unless_it_is_quiet_or_the_program_takes_the_records(how, tmp_path):
    settings = {**TINY, "steps": 16}
    settings.pop("quiet")
    code = RUN.replace("{tiny}", repr(settings))
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "run", how], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""
    note = f"{tmp_path / 'run'} holds no checkpoint: the run starts from the beginning"
    shown = {
        "plain": [f"proximax: note: {note}"],
        "quiet": [],
        "records": [f"RECORD proximax.runs.directory INFO {note}"],
    }
    assert [line for line in ran.stderr.splitlines() if note in line] == shown[how]
    if how == "quiet":
        assert ran.stderr == ""


def test_the_library_prints_nothing_by_itself():
    mine = {name: path for name, path in MODULES.items() if room(name) not in ("cli", "__main__")}
    for name, path in mine.items():
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        prints = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
        assert not prints or name == "runtime.console", name
    assert "train" in proximax.__all__


@pytest.mark.fault(52)
@pytest.mark.parametrize(("encoding", "shown"), [("ascii", r"\u03b2"), ("utf-8", "β"), ("cp1252", r"\u03b2")])
def test_a_message_is_written_in_what_stderr_can_take(encoding, shown, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stderr", stream)
    write_stderr("β")
    assert stream.buffer.getvalue() == f"{shown}\n".encode()
    assert can_encode("β", encoding) is (encoding == "utf-8")
    assert can_encode("β", None)
