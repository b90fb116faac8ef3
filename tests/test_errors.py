"""Faults: exit codes, what else they are, and their texts."""

import signal

import pytest

from proximax import errors


def test_every_fault_has_an_exit_code_of_its_own_and_is_what_python_calls_it():
    kinds = {
        errors.UsageError: (2, ValueError),
        errors.EnvError: (3, RuntimeError),
        errors.CheckpointError: (4, RuntimeError),
        errors.StorageError: (5, RuntimeError),
        errors.DependencyError: (6, ImportError),
        errors.NumericalError: (7, ArithmeticError),
        errors.DistributedError: (8, RuntimeError),
    }
    assert {kind: (kind.code, kind.__mro__[2]) for kind in kinds} == kinds
    assert all(issubclass(kind, errors.ProximaxError) for kind in kinds)
    assert set(errors.ProximaxError.__subclasses__()) - {*kinds} == {errors.Interrupted}


@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")])
def test_an_interrupt_has_the_shells_exit_code(number, code, name):
    stopped = errors.Interrupted(number)
    assert (stopped.code, str(stopped)) == (code, f"stopped by {name}")
    assert isinstance(stopped, KeyboardInterrupt)


def test_an_exception_whose_text_cannot_be_had_is_described_too():
    class Mute(Exception):
        def __str__(self):
            raise SystemExit(0)

    assert errors.describe(OSError("gone")) == "OSError: gone"
    assert errors.describe(Mute()) == "Mute: (its text raised SystemExit)"
    assert isinstance(SystemExit(0), errors.ENV_ERRORS)
    assert not isinstance(KeyboardInterrupt(), errors.ENV_ERRORS)
