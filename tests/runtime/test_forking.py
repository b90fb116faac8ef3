"""Children that an environment forks: they keep no lock and no pipe of this process, and JAX is refused there.

Faults 29, 48.
"""

import os

import jax
import pytest

import proximax
from proximax.errors import UsageError
from proximax.runs.directory import RunDirectory
from proximax.runtime import forking
from proximax.runtime.forking import close_private, keep_from_children, refuse_fork

pytestmark = pytest.mark.filterwarnings("ignore:.*fork")


def in_child(function):
    """The exit code of a forked child that calls ``function``: 0 if that is true."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            code = 0 if function() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.process
@pytest.mark.fault(29)
def test_a_child_does_not_keep_the_lock_of_a_run(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    (begun, begin), (ended, end) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:  # as a helper process of an environment, which lives on
        os.write(begin, b"1")
        os.close(end)
        os.read(ended, 1)
        os._exit(0)
    os.read(begun, 1)
    os.close(directory._lock)  # as the system does when a process is killed
    again = RunDirectory(tmp_path / "run")  # would be in use by another process
    assert again.path == directory.path
    again.close()
    os.close(end)
    os.waitpid(child, 0)
    for descriptor in (begun, begin, ended):
        os.close(descriptor)


@pytest.mark.process
def test_a_descriptor_of_this_process_alone_leads_nowhere_in_a_child():
    reader, writer = os.pipe()
    keep_from_children(writer)
    assert in_child(lambda: os.path.samestat(os.fstat(writer), os.stat(os.devnull))) == 0
    close_private(writer)
    assert os.read(reader, 1) == b""  # no child holds the other end
    os.close(reader)


@pytest.mark.process
def test_a_number_that_was_given_to_another_file_is_left_alone():
    (reader, writer), (other_reader, other) = os.pipe(), os.pipe()
    keep_from_children(writer)
    os.dup2(other, writer)  # closed by somebody who does not know
    assert in_child(lambda: os.write(writer, b"1") == 1) == 0
    assert os.read(other_reader, 1) == b"1"
    for descriptor in (reader, writer, other_reader, other):
        os.close(descriptor)


def test_only_a_process_that_was_forked_is_refused(monkeypatch):
    refuse_fork()
    monkeypatch.setattr(forking, "_forked_after_jax", True)
    with pytest.raises(UsageError, match="multiprocessing"):
        refuse_fork()


@pytest.mark.process
@pytest.mark.fault(48)
def test_training_in_a_child_forked_after_jax_has_started_is_refused_at_once(tmp_path):
    jax.devices()
    refuse_fork()  # not here

    def says_so():
        ways = [
            lambda: proximax.train("probe:constant", out=tmp_path / "run"),
            lambda: proximax.load(tmp_path / "run"),
            lambda: proximax.evaluate(tmp_path / "run"),
            lambda: proximax.video(tmp_path / "run"),
        ]
        for way in ways:
            with pytest.raises(UsageError, match=r"forked from one in which JAX had started.*'spawn'"):
                way()
        return True

    assert in_child(says_so) == 0
    assert list(tmp_path.iterdir()) == []
