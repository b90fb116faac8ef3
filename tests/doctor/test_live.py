"""The doctor while a run trains: when it checks, on which updates, and that it is quiet about healthy runs."""

from dataclasses import replace

import numpy as np
import pytest

import proximax
from proximax.doctor.diagnosis import columns, run_checks
from proximax.doctor.live import LiveDoctor
from proximax.envs.probe import PROBES
from tests.support.doctor_rows import CONFIG, SMALL, UPDATE, as_rows, healthy, names

QUICK = {
    "CartPole-v1": {"steps": 16_384, "seeds": 2},
    "Acrobot-v1": {"steps": 24_576},
    "Pendulum-v1": {"steps": 16_000},
    "MountainCarContinuous-v0": {"steps": 20_480},
    "observed": {"steps": 40 * UPDATE, **SMALL},
    "matching": {"steps": 40 * UPDATE, **SMALL},
    "matching-continuous": {"steps": 40 * UPDATE, **SMALL},
}


# Environments in Python, besides CartPole: their recorded runs are looked at in test_diagnosis.
MORE = {"Acrobot-v1", "MountainCarContinuous-v0"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.exhaustive if name in MORE else ()) for name in QUICK]
)
def test_nothing_is_said_while_a_healthy_run_goes_on(name, capsys):
    env = PROBES[name]() if name in PROBES else name
    result = proximax.train(env, eval_episodes=1, **QUICK[name])
    assert "doctor" not in capsys.readouterr().err
    assert run_checks(columns(result.history), result.config) == []


def test_a_long_run_is_watched_twenty_times_at_few_of_its_rows():
    updates = 5_000
    config = replace(CONFIG, steps=updates * 2048)
    watch = LiveDoctor(config)
    late = np.where(np.arange(updates) < updates // 2, 0.1, 0.9)
    looks = [row["update"] for row in as_rows(healthy(updates, clip_fraction=late)) if watch.observe([row])]
    assert looks == [250 * i for i in range(1, 21)]
    assert names(watch.findings) == set()  # 0.9 in half of the updates is not yet the median
    assert len(watch._kept) <= 257
    kept = [rows[0]["update"] for rows in watch._kept]
    assert kept[0] == 1
    assert set(np.diff(kept[1:])) == {32}  # evenly
    assert kept[-1] > updates - 32


def test_a_run_of_few_updates_is_looked_at_after_each_and_a_finding_may_go_away():
    watch = LiveDoctor(replace(CONFIG, steps=10 * 2048, ppo=replace(CONFIG.ppo, normalise_obs=False)))
    scales = [1e4] * 4 + [1.0] * 6
    found = []
    for row in as_rows(healthy(10, obs_abs_max_mean=np.array(scales))):
        assert watch.observe([row])
        found.append(names(watch.findings))
    assert found[0] == {"observations"}
    assert found[-1] == set()


@pytest.mark.filterwarnings("error")
def test_of_a_resumed_run_the_rows_before_count_too():
    """One that has learned: from there on every return is the same, which is no lack of a signal."""
    returns = np.minimum(np.linspace(20, 800, 40), 500)
    rows = as_rows(healthy(40, episode_return=returns, return_last_100=returns))
    config = replace(CONFIG, steps=40 * 2048)

    def findings(earlier):
        watch = LiveDoctor(config, earlier)
        for row in rows[30:]:
            watch.observe([row])
        return names(watch.findings)

    assert findings(rows[:30]) == set()
    assert findings([]) == {"no-signal"}
