"""Environments in this process that hang, exit, or raise where nobody expects it. Faults 14, 47; trap 47."""

import re
import sys
import threading
import time

import numpy as np
import pytest

from proximax.envs import env_groups, time_limit
from proximax.envs.make import make_env
from proximax.envs.time_limit import CallLimit, close_quietly
from proximax.errors import EnvError
from tests.support.toy_envs import Script

pytestmark = pytest.mark.fault(14)
SECONDS = 0.5  # the limit in these tests: what hangs would hang for a minute, what does not takes microseconds


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(time_limit, "CONSTRUCTOR_SECONDS", SECONDS)
    monkeypatch.setattr(env_groups, "WORKER_SECONDS", 1.0)  # all in this process


def hang():
    time.sleep(60)


def stubborn():
    """Hangs, and takes every exception for its own."""
    while True:
        try:
            time.sleep(60)
        except Exception:
            continue


@pytest.mark.parametrize("call", [hang, stubborn])
def test_a_call_that_hangs_is_interrupted_and_named(call):
    limit = CallLimit(SECONDS)
    with (
        pytest.raises(EnvError, match=r"stuck in step at step 7: no answer for 0.5 s. .* raise env_timeout"),
        limit("step", 7),
    ):
        call()
    assert limit.run("reset", lambda: 3) == 3  # the next one is not


def test_a_call_that_returns_or_raises_is_left_alone():
    limit = CallLimit(60.0)
    assert limit.run("step", lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        limit.run("step", lambda: 1 / 0)
    assert limit.began is None
    time_limit.interrupt(0, None)  # a signal that comes too late


def test_what_cannot_be_interrupted_is_said(monkeypatch, capsys):
    monkeypatch.setattr(time_limit, "GRACE_SECONDS", 0.01)
    said = threading.Event()
    monkeypatch.setattr(time_limit.logger, "error", lambda text: (errors.append(text), said.set()))
    errors = []
    thread = threading.Thread(target=CallLimit(SECONDS).run, args=("step", said.wait))  # no signal reaches a thread
    thread.start()
    thread.join(60)
    assert len(errors) == 1
    assert "stuck in step at step 0" in errors[0]
    assert "cannot be interrupted: end process" in errors[0]


class Trouble(Script):
    """Does something in one of its methods."""

    where, what = "", staticmethod(hang)

    def __init__(self):
        super().__init__()
        self.maybe("constructor")

    def maybe(self, method):
        if method == self.where:
            self.what()

    def reset(self, **options):
        self.maybe("reset")
        return super().reset(**options)

    def step(self, action):
        self.maybe("step")
        return super().step(action)

    def close(self):
        self.maybe("close")


def reset_and_step(env):
    env.reset([1, 2])
    env.step(np.zeros(2, int))


@pytest.mark.parametrize("method", ["constructor", "reset", "step"])
def test_the_first_look_at_an_environment_has_a_limit(method):
    kind = type("Hangs", (Trouble,), {"where": method})
    with pytest.raises(EnvError, match=f"stuck in (its )?{method}"):
        make_env(kind, 2, env_timeout=SECONDS)


@pytest.mark.parametrize("method", ["reset", "step"])
def test_and_so_has_every_call_after_it(method, monkeypatch):
    env = make_env(Trouble, 2, env_timeout=SECONDS)
    monkeypatch.setattr(Trouble, "where", method)
    with pytest.raises(EnvError, match=f"stuck in {method}"):
        reset_and_step(env)
    env.close()


def leave():
    sys.exit(0)


class NoText(Exception):
    def __str__(self):
        raise ValueError("no text")


def unspeakable():
    raise NoText


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "said"),
    [
        (hang, "stuck in close"),
        (leave, "SystemExit: 0"),
        (lambda: None.close(), "AttributeError"),
        (unspeakable, r"NoText: \(its text raised ValueError\)"),
    ],
)
def test_what_goes_wrong_in_close_is_told_once_and_costs_nothing(what, said, monkeypatch, capsys):
    time_limit._reported.clear()
    monkeypatch.setattr(time_limit, "GRACE_SECONDS", SECONDS)
    monkeypatch.setattr(Trouble, "what", staticmethod(what))
    monkeypatch.setattr(Trouble, "where", "close")
    env = make_env(Trouble, 3, env_timeout=SECONDS)
    env.reset([1, 2, 3])
    env.close()
    close_quietly(env.env.envs[0].close, CallLimit(SECONDS))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert re.search(f"warning: an environment could not be closed: .*{said}", told[0])


@pytest.mark.fault(47)
@pytest.mark.parametrize("method", ["constructor", "reset", "step"])
@pytest.mark.parametrize(("what", "said"), [(leave, "SystemExit: 0"), (unspeakable, "NoText")])
def test_an_environment_neither_ends_the_program_nor_hides_that_it_raised(method, what, said, monkeypatch):
    env = make_env(Trouble, 2)
    monkeypatch.setattr(Trouble, "what", staticmethod(what))
    monkeypatch.setattr(Trouble, "where", method)
    with pytest.raises(EnvError, match=f"raised in (its )?{method} at step 0: {said}"):
        make_env(Trouble, 2)
    if method != "constructor":
        with pytest.raises(EnvError, match=f"raised in {method} at step 0: {said}"):
            reset_and_step(env)


def test_the_second_copy_that_cannot_be_made_is_an_error_of_the_environment_too(monkeypatch):
    made = []
    monkeypatch.setattr(Trouble, "where", "constructor")
    monkeypatch.setattr(Trouble, "what", staticmethod(lambda: made.append(1) if not made else leave()))
    with pytest.raises(EnvError, match="raised in its constructor at step 0: SystemExit: 0"):
        make_env(Trouble, 2)
