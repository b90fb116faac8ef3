"""MuJoCo's warnings reach the user once, by the logger; nothing else is printed or written."""

from functools import partial

import gymnasium
import numpy as np
import pytest

from proximax.envs import mujoco_warnings
from proximax.envs.mujoco_warnings import report_once

mujoco = pytest.importorskip("mujoco")


@pytest.fixture(autouse=True)
def unreported(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mujoco_warnings, "_reported", set())
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(None)
    yield
    mujoco.set_mju_user_warning(before)


def make(name="HalfCheetah-v5"):
    return partial(gymnasium.make, gymnasium.spec(name))


def test_models_of_gymnasium_with_deprecated_words_print_and_write_nothing(tmp_path, capfd, caplog):
    for _ in range(2):
        report_once(make())
        make()().close()
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())
    assert not caplog.records


def test_a_simulation_that_is_unstable_is_reported_once(tmp_path, capfd, caplog):
    report_once(make())
    with make()() as env:
        for seed in range(3):  # at other times, in other joints
            env.reset(seed=seed)
            for _ in range(seed):
                env.step(np.zeros(6))
            env.unwrapped.data.qvel[seed] = 1e12
            env.step(np.zeros(6))
    assert [record.getMessage()[:31] for record in caplog.records] == ["MuJoCo: Nan, Inf or huge value "]
    assert not list(tmp_path.iterdir())


def test_a_function_of_the_users_stays():
    texts = []
    mujoco.set_mju_user_warning(texts.append)
    report_once(make())
    mujoco.get_mju_user_warning()("theirs")
    assert texts == ["theirs"]


def test_of_a_callable_of_the_users_it_takes_over_once_mujoco_is_in_use():
    report_once(lambda: None)
    assert mujoco.get_mju_user_warning() is mujoco_warnings.report
