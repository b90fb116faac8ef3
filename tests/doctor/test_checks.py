"""Each check by hand: rows for which it reports something, and others for which it just does not."""

from dataclasses import replace

import numpy as np
import pytest

from proximax.doctor.diagnosis import CHECKS, run_checks
from tests.support.doctor_rows import CONFIG, healthy, names, some


def ppo(**settings):
    return replace(CONFIG, ppo=replace(CONFIG.ppo, **settings))


FLAT = np.full(100, 5.0)
LOW = some(0.04, 1.0, slice(10, None))
HAND = [  # (finding, columns and config that show it, others that just do not)
    ("not-finite", {"finite": some(0, 1, -1)}, CONFIG, {}, CONFIG),
    ("first-ratio", {"first_ratio_error": some(2e-3, 0, 7)}, CONFIG, {"first_ratio_error": 5e-4}, CONFIG),
    ("kl-spikes", {"kl": some(0.6, 0.01, [3, 50])}, CONFIG, {"kl": some(0.6, 0.01, [3])}, CONFIG),
    ("kl-spikes", {"kl": some(3.0, 0.01, [3])}, CONFIG, {"kl": 0.4}, CONFIG),
    ("kl-spikes", {"kl": some(np.nan, 0.01, [3])}, CONFIG, {}, CONFIG),  # infinite: null in the file
    ("no-signal", {"episode_return": FLAT}, CONFIG, {"episode_return": some(6, 5, -1)}, CONFIG),
    ("no-signal", {"advantage_std": 0.0}, CONFIG, {"advantage_std": some(0.1, 0.0, 0)}, CONFIG),
    # Four episodes of one return may be chance.
    ("no-signal", {"episode_return": FLAT}, CONFIG, {"episode_return": FLAT, "episodes": some(4, 0, 5)}, CONFIG),
    ("collapse", {"entropy": LOW, "episode_return": some(6, 5, -1)}, CONFIG, {"entropy": LOW}, CONFIG),
    ("collapse", {"action_std": 0.01, "episode_return": some(6, 5, -1)}, CONFIG, {"action_std": 0.01}, CONFIG),
    ("rewards-huge", {"value_loss": 1e5}, ppo(scale_reward=False), {"value_loss": 1e5}, CONFIG),
    ("rewards-huge", {"value_loss": 1e5}, ppo(scale_reward=False), {"value_loss": 1e3}, ppo(scale_reward=False)),
    ("never-ends", {"return_last_100": np.nan}, CONFIG, {"return_last_100": some(1, np.nan, -1)}, CONFIG),
    ("never-ends", {"return_last_100": np.nan}, CONFIG, {"return_last_100": np.nan}, replace(CONFIG, num_envs=64)),
    ("clipped", {"clip_fraction": 0.7}, CONFIG, {"clip_fraction": 0.7}, replace(CONFIG, algo="penalty")),
    ("hardly-moves", {"kl": 1e-7, "clip_fraction": 0.0}, CONFIG, {"kl": 1e-7}, CONFIG),
    ("hardly-moves", {"kl": some(1e-7, 0.01, slice(0, 30)), "clip_fraction": 0.0}, CONFIG, {}, CONFIG),
    (
        "hardly-moves",
        {"kl": 1e-7, "clip_fraction": 0.0},
        CONFIG,
        {"kl": some(0.1, 1e-7, 0), "clip_fraction": 0.0},  # went somewhere at once and rests: another finding's matter
        CONFIG,
    ),
    ("values", {"explained_variance": -0.5}, CONFIG, {"explained_variance": some(-0.5, 0.5, slice(0, 84))}, CONFIG),
    # A solved task: targets are all alike, the error is a thousandth of what it was.
    (
        "values",
        {"explained_variance": -9.0},
        CONFIG,
        {"explained_variance": -9.0, "value_loss": some(1, 1e-3, slice(50))},
        CONFIG,
    ),
    ("observations", {"obs_abs_max_mean": 100.0}, ppo(normalise_obs=False), {"obs_abs_max_mean": 100.0}, CONFIG),
    (
        "observations",
        {"obs_abs_max_mean": 1e-3},
        ppo(normalise_obs=False),
        {"obs_abs_max_mean": 20.0},
        ppo(normalise_obs=False),
    ),
    ("gradients", {"global_grad_norm": 600.0}, CONFIG, {"global_grad_norm": 600.0}, ppo(max_grad_norm=None)),
    ("gradients", {"global_grad_norm": 600.0}, CONFIG, {"global_grad_norm": some(600, 1, slice(40))}, CONFIG),
    ("learning-rate", {"learning_rate": 1e-6}, CONFIG, {"learning_rate": 1e-5}, CONFIG),
    # Annealing to nothing at the end is as it should be; an adaptive rate at its floor shows through it.
    (
        "learning-rate",
        {"learning_rate": 1e-6 * np.linspace(1.0, 0.01, 100)},
        ppo(anneal="both"),
        {"learning_rate": 4e-6 * np.linspace(1.0, 0.01, 100)},
        ppo(anneal="both"),
    ),
    (
        "learning-rate",
        {"learning_rate": 1e-6 * np.minimum(1.0, np.linspace(4.0, 0.04, 100))},
        ppo(anneal="both", anneal_start=0.75),
        {"learning_rate": 1.1e-6 * np.minimum(1.0, np.linspace(4.0, 0.04, 100))},
        ppo(anneal="both", anneal_start=0.75),
    ),
    (  # 99 % to nothing: with the last update's factor the rates above would be of other ones
        "learning-rate",
        {"learning_rate": 1e-6 * np.linspace(0.99, 0.0, 100)},
        ppo(anneal="both", anneal_reaches_end=True),
        {"learning_rate": 4e-6 * np.linspace(0.99, 0.0, 100)},
        ppo(anneal="both", anneal_reaches_end=True),
    ),
    ("saturation", {"actions_at_bounds": 0.99}, CONFIG, {"actions_at_bounds": 0.9}, CONFIG),
    ("std-blow-up", {"action_std": np.linspace(1, 4, 100)}, CONFIG, {"action_std": 4.0}, CONFIG),
    ("memory-explodes", {"memory_abs_max": some(2e3, 1, 70)}, CONFIG, {"memory_abs_max": 900.0}, CONFIG),
    ("memory-unused", {"memory_kl": 1e-6}, CONFIG, {"memory_kl": some(0.02, 1e-6, slice(90, None))}, CONFIG),
    ("memory-unused", {"memory_kl": -1e-8}, CONFIG, {"memory_kl": 1e-4}, CONFIG),  # rounding
    ("early-stop", {"gradient_steps": 10.0}, ppo(target_kl=0.01), {"gradient_steps": 10.0}, CONFIG),
    ("early-stop", {"gradient_steps": 10.0}, ppo(target_kl=0.01), {"gradient_steps": 100.0}, ppo(target_kl=0.01)),
    (
        "line-search",
        {"line_search_fraction": some(0, 1, slice(60))},
        CONFIG,
        {"line_search_fraction": some(0, 1, slice(40))},
        CONFIG,
    ),
    ("time-limit", {"truncations": 0.0}, CONFIG, {"truncations": some(1, 0, 3)}, CONFIG),
    ("time-limit", {"truncations": 0.0}, CONFIG, {"truncations": 0.0, "episode_length": some(99, 100, -1)}, CONFIG),
    ("time-limit", {"truncations": 0.0}, CONFIG, {"truncations": 0.0, "episode_length": 5.0}, CONFIG),
]


@pytest.mark.parametrize(("name", "shown", "config", "almost", "other"), HAND)
def test_by_hand_where_a_check_speaks_and_where_just_not(name, shown, config, almost, other):
    assert name in names(run_checks({0: healthy(**shown)}, config))
    assert name not in names(run_checks({0: healthy(**almost)}, other))


def test_a_critic_has_twenty_updates_to_begin():
    short = replace(CONFIG, steps=40 * 2048)
    bad = healthy(40, explained_variance=-0.5)
    assert "values" not in names(run_checks({0: {name: x[:37] for name, x in bad.items()}}, short))
    assert "values" in names(run_checks({0: bad}, short))


def test_healthy_rows_by_hand_are_healthy_and_what_was_never_logged_is_never_found():
    assert run_checks({0: healthy()}, CONFIG) == []
    bare = {name: x for name, x in healthy().items() if name in ("update", "steps", "return_last_100")}
    assert run_checks({0: bare}, CONFIG) == []
    assert {case[0] for case in HAND} == set(CHECKS)
