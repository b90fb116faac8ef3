"""The doctor finds each fault in a real run broken on purpose, and nothing in healthy ones at any moment of them."""

import inspect
import json
import os
import re
from dataclasses import fields, replace

import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import proximax
from proximax.cli.dispatch import main
from proximax.config.ppo_config import PPOConfig
from proximax.config.presets import PRESETS
from proximax.config.run_config import RunConfig
from proximax.doctor import checks
from proximax.doctor.diagnosis import CHECKS, SEVERITIES, columns, diagnose_run, run_checks
from proximax.doctor.live import LiveDoctor
from proximax.envs.probe import PROBES, _one, _probe
from proximax.errors import CheckpointError, NumericalError
from proximax.maths import adapt_learning_rate
from proximax.networks.base import Network
from proximax.networks.dense import mlp
from proximax.runs.metrics import METRICS
from proximax.runs.metrics_file import read_metrics
from tests.support import ROOT

HEALTHY = ROOT / "tests" / "data" / "healthy"
SMALL = {"num_envs": 8, "num_steps": 32, "minibatch_size": 64, "epochs": 4, "hidden": (16,)}
UPDATE = 8 * 32  # steps


def names(findings):
    return {finding.name for finding in findings}


# ---------------------------------------------------------------- real runs, broken on purpose


def scaled(env, reward=1.0, obs=1.0):
    """``env`` with rewards and observations in other units."""

    def reset(key):
        state, seen = env.reset(key)
        return state, seen * obs

    def step(key, state, action):
        state, s = env.step(key, state, action)
        return state, s._replace(obs=s.obs * obs, final_obs=s.final_obs * obs, reward=s.reward * reward)

    return env._replace(reset=reset, step=step, observation_space=spaces.Box(-obs, obs, (1,), np.float32))


def lasting(length, reward=lambda t, obs, action: action):
    """Episodes of ``length`` steps, which are terminated."""
    return _probe(_one, reward, length=length, continuous=True)


def batch_norm():
    """A network whose output for a row depends on how many rows there are beside it, as batch normalisation's does."""
    base = mlp(2)

    def apply(params, obs):
        out, value = base.apply(params, obs)
        return out + jnp.array([[1.0, 0.0]]) / len(obs), value

    return Network(base.init, apply)


MATCHING, CHOICE = PROBES["matching"](), PROBES["choice"]()
# name of the finding -> the environment, and the settings that break the run
BROKEN = {
    "first-ratio": (MATCHING, {"network": batch_norm(), "steps": 10 * UPDATE, **SMALL}),
    "kl-spikes": ("CartPole-v1", {"learning_rate": 1.0, "steps": 20 * UPDATE}),
    "no-signal": ("MountainCar-v0", {"steps": 8 * 200 * 5, "num_steps": 200, "epochs": 1}),
    "collapse": (
        lasting(1, lambda t, obs, action: jnp.where(action > 0.5, 1.0, 0.0)),
        {"log_std_init": -6.0, "steps": 20 * UPDATE, **SMALL},
    ),
    "rewards-huge": (scaled(MATCHING, reward=1e4), {"scale_reward": False, "steps": 20 * UPDATE, **SMALL}),
    "never-ends": (
        lasting(10**9),
        {**SMALL, "num_steps": 1024, "minibatch_size": 2048, "epochs": 1, "steps": 10 * 8 * 1024},
    ),
    "clipped": (MATCHING, {"epsilon": 1e-5, "steps": 20 * UPDATE, **SMALL}),
    "hardly-moves": (MATCHING, {"learning_rate": 1e-8, "steps": 25 * UPDATE, **SMALL}),
    "values": (
        MATCHING,
        {
            **SMALL,
            "value_coef": 0.0,
            "shared_torso": True,
            "learning_rate": 0.01,
            "entropy_coef": 0.5,
            "steps": 40 * UPDATE,
        },
    ),
    "observations": (scaled(MATCHING, obs=1e4), {"normalise_obs": False, "steps": 20 * UPDATE, **SMALL}),
    "gradients": ("CartPole-v1", {"max_grad_norm": 1e-4, "steps": 20 * UPDATE}),
    "learning-rate": (MATCHING, {"learning_rate": 1e-7, "steps": 25 * UPDATE, **SMALL}),
    "saturation": (lasting(1), {"learning_rate": 0.03, "anneal": "none", "steps": 40 * UPDATE, **SMALL}),
    "std-blow-up": (
        PROBES["choice-continuous"](),
        {"entropy_coef": 1.0, "learning_rate": 0.03, "anneal": "none", "steps": 20 * UPDATE, **SMALL},
    ),
    "early-stop": ("CartPole-v1", {"target_kl": 1e-5, "learning_rate": 0.01, "steps": 10 * UPDATE}),
    "line-search": (CHOICE, {"algo": "trpo", "max_kl": 10.0, "line_search_steps": 0, "steps": 20 * UPDATE, **SMALL}),
    "time-limit": (lasting(50), {"steps": 40 * UPDATE, **SMALL}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_a_run_broken_on_purpose_is_found_out_on_the_way_and_afterwards(name, tmp_path, capsys):
    env, settings = BROKEN[name]
    result = proximax.train(env, out=tmp_path / "run", eval_episodes=1, **settings)
    told = capsys.readouterr().err
    assert f"proximax: doctor: {CHECKS[name].severity} {name}: " in told
    assert told.count(f" {name}: ") == 1  # once, when it first appears
    diagnosis = diagnose_run(tmp_path / "run")
    assert name in names(diagnosis.findings)
    assert (diagnosis.updates, diagnosis.finished, diagnosis.error) == (result.config.updates, True, None)
    order = [list(SEVERITIES).index(finding.check.severity) for finding in diagnosis.findings]
    assert order == sorted(order)
    assert main(["doctor", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"{CHECKS[name].severity} +{name}\n  seen    seed 0: ", out)
    assert CHECKS[name].cause in out
    assert CHECKS[name].remedy in out


@pytest.mark.slow
def test_a_run_that_stopped_being_finite_and_how_it_ended(tmp_path, capsys):
    env = scaled(MATCHING, reward=1e30)
    with pytest.raises(NumericalError):
        proximax.train(env, out=tmp_path / "run", scale_reward=False, steps=20 * UPDATE, **SMALL)
    assert "doctor: error not-finite: update 1, after which nothing was learned (seed 0)" in capsys.readouterr().err
    diagnosis = diagnose_run(tmp_path / "run")
    assert diagnosis.findings[0].name == "not-finite"
    assert (diagnosis.updates, diagnosis.finished) == (1, False)
    assert "NumericalError: loss, gradient or normaliser not finite: update 1 of seed 0" in diagnosis.error
    assert main(["doctor", str(tmp_path / "run")]) == 0
    assert "1 of 20 updates, not finished\nended by  proximax.errors.NumericalError" in capsys.readouterr().out


def test_every_check_is_broken_on_purpose_here():
    assert set(BROKEN) | {"not-finite"} == set(CHECKS)


# ---------------------------------------------------------------- healthy runs


def test_ten_presets_are_recorded():
    recorded = {path.name for path in HEALTHY.iterdir()}
    assert len(recorded) >= 10
    assert recorded == set(PRESETS)


@pytest.mark.parametrize("name", [path.name for path in HEALTHY.iterdir()])
def test_nothing_is_found_at_any_moment_of_a_healthy_run(name):
    diagnosis = diagnose_run(HEALTHY / name)
    assert diagnosis.updates == diagnosis.config.updates
    rows = read_metrics(HEALTHY / name / "metrics.jsonl")
    for update in sorted({row["update"] for row in rows}):
        found = run_checks(columns(row for row in rows if row["update"] <= update), diagnosis.config)
        assert [finding.line for finding in found] == [], update


QUICK = {
    "CartPole-v1": {"steps": 16_384, "seeds": 2},
    "Acrobot-v1": {"steps": 24_576},
    "Pendulum-v1": {"steps": 16_000},
    "MountainCarContinuous-v0": {"steps": 20_480},
    "observed": {"steps": 40 * UPDATE, **SMALL},
    "matching": {"steps": 40 * UPDATE, **SMALL},
    "matching-continuous": {"steps": 40 * UPDATE, **SMALL},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_nothing_is_said_while_a_healthy_run_goes_on(name, capsys):
    env = PROBES[name]() if name in PROBES else name
    result = proximax.train(env, eval_episodes=1, **QUICK[name])
    assert "doctor" not in capsys.readouterr().err
    assert run_checks(columns(result.history), result.config) == []


@pytest.mark.slow
def test_a_probe_in_which_actions_change_nothing_is_said_to_have_no_signal():
    result = proximax.train(PROBES["endless"](), eval_episodes=1, quiet=True, steps=20 * UPDATE, **SMALL)
    assert "no-signal" in names(run_checks(columns(result.history), result.config))


# ---------------------------------------------------------------- each threshold by hand

CONFIG = RunConfig("x", steps=100 * 2048, ppo=PPOConfig(anneal="none"))


def healthy(updates=100, **more):
    """Rows of a seed that learns; a number stands for all updates."""
    at = np.arange(1, updates + 1)
    values = {
        "update": at,
        "steps": 2048 * at,
        "finite": 1.0,
        "first_ratio_error": 1e-6,
        "kl": 0.01,
        "clip_fraction": 0.1,
        "entropy": np.linspace(1.0, 0.4, updates),
        "explained_variance": 0.8,
        "value_loss": 0.1,
        "global_grad_norm": 0.7,
        "learning_rate": 3e-4,
        "obs_abs_max_mean": 1.0,
        "advantage_std": 0.5,
        "gradient_steps": 320.0,
        "truncations": 1.0,
        "episodes": 8.0,
        "episode_return": at * 1.0,
        "episode_length": 100.0,
        "return_last_100": at * 1.0,
    }
    return {name: np.broadcast_to(np.asarray(x, float), (updates,)).copy() for name, x in {**values, **more}.items()}


def some(value, rest, which):
    """``value`` at the indices ``which`` of 100 updates, else ``rest``."""
    x = np.full(100, float(rest))
    x[which] = value
    return x


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
    ("saturation", {"actions_at_bounds": 0.99}, CONFIG, {"actions_at_bounds": 0.9}, CONFIG),
    ("std-blow-up", {"action_std": np.linspace(1, 4, 100)}, CONFIG, {"action_std": 4.0}, CONFIG),
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


def test_evidence_names_the_seeds_and_updates():
    bad = healthy(kl=some(0.75, 0.01, [3, 50]))
    (finding,) = run_checks({7: healthy(), 8: bad, 9: bad}, CONFIG)
    assert list(finding.evidence) == [8, 9]
    assert finding.evidence[8].startswith("KL above 0.5 in 2 of 100 updates, from 4 to 51, up to 0.75")
    assert "(seed 8 and 1 more)" in finding.line


def test_remedies_name_flags_that_exist_and_every_check_explains_itself():
    flags = {"--ppo." + field.name.replace("_", "-") for field in fields(PPOConfig)}
    for name, check in CHECKS.items():
        assert set(re.findall(r"--[a-z.-]*[a-z]", check.remedy + check.cause)) <= flags, name
        assert check.severity in SEVERITIES
        assert check.check.__doc__.endswith(".")
        assert check.cause.endswith(".")
        assert check.remedy.endswith(".")
    order = [list(SEVERITIES).index(check.severity) for check in CHECKS.values()]
    assert order == sorted(order)
    read = set(re.findall(r'column\(\w+, "(\w+)"\)', inspect.getsource(checks)))
    assert read <= set(METRICS)
    assert inspect.signature(adapt_learning_rate).parameters["least"].default == checks.RATE_FLOOR


# ---------------------------------------------------------------- a run that goes on


def as_rows(table, seed=0):
    plain = {name: [None if np.isnan(v) else v for v in x.tolist()] for name, x in table.items()}
    return [{"seed": seed, **dict(zip(plain, row))} for row in zip(*plain.values())]


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


# ---------------------------------------------------------------- what a directory holds


def a_run(tmp_path, text):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG.to_json()))
    if text is not None:
        (tmp_path / "metrics.jsonl").write_text(text)
    return str(tmp_path)


GOOD = json.dumps(as_rows(healthy(1))[0] | {"update": 1, "steps": 2048}) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "metrics.jsonl is missing"),
        (GOOD + "[1, 2]\n", "metrics.jsonl, line 2: not a row of metrics"),
        (GOOD + '{"update": 1}\n', "line 2: not a row of metrics"),
        (GOOD.replace("2048", '"many"'), "line 1: not a row of metrics: values must be numbers"),
        (GOOD.replace("0.01", '{"a": 1}'), "line 1: not a row of metrics: values must be numbers"),
        ("{" + GOOD, "line 1: not a row of metrics"),
        ("[" * 100_000 + "\n", "line 1: not a row of metrics"),
        (GOOD.replace("0.01", "NaN"), "values must be numbers"),
    ],
)
def test_a_directory_that_is_no_run_is_refused_with_4(tmp_path, capsys, text, message):
    run = a_run(tmp_path, text)
    assert main(["doctor", run]) == 4
    assert message in capsys.readouterr().err
    with pytest.raises(CheckpointError):
        diagnose_run(run)


def test_no_directory_at_all_is_refused_with_4(tmp_path, capsys):
    for path in (tmp_path, tmp_path / "nothing"):
        assert main(["doctor", str(path)]) == 4
        assert "config.json is missing" in capsys.readouterr().err


def test_a_run_still_being_written_is_examined_up_to_its_last_whole_line(tmp_path, capsys):
    run = a_run(tmp_path, GOOD + GOOD[:40])
    assert main(["doctor", run]) == 0
    assert "x, clip, 1 seed: 1 of 100 updates, not finished\nnothing wrong: 18 checks" in capsys.readouterr().out
    assert main(["doctor", a_run(tmp_path, "")]) == 0
    assert "no update was made" in capsys.readouterr().out


def test_a_traceback_is_told_without_its_control_characters(tmp_path, capsys):
    run = a_run(tmp_path, GOOD)
    (tmp_path / "error.log").write_text("Traceback\nValueError: \x1b[31mred\n\n")
    assert main(["doctor", run]) == 0
    assert "ended by  ValueError: \\x1b[31mred\n" in capsys.readouterr().out


def test_of_a_long_log_only_the_end_is_read(tmp_path):
    run = a_run(tmp_path, GOOD)
    (tmp_path / "error.log").write_text("ValueError: x\n")
    os.truncate(tmp_path / "error.log", 2**40)  # takes no room on the disk
    assert len(diagnose_run(run).error) <= 2**16


@pytest.mark.parametrize("name", ["error.log", "metrics.jsonl", "config.json"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_link_is_not_followed_and_a_pipe_not_waited_for(tmp_path, capsys, name, kind):
    run = a_run(tmp_path, GOOD)
    (tmp_path / "secret").write_text("TOPSECRET\n")
    (tmp_path / name).unlink(missing_ok=True)
    if kind == "link":
        (tmp_path / name).symlink_to(tmp_path / "secret")
    else:
        os.mkfifo(tmp_path / name)
    assert main(["doctor", run]) == 4
    out, told = capsys.readouterr()
    assert "TOPSECRET" not in out + told
    assert name in told


def test_names_in_a_config_cannot_control_the_terminal(tmp_path, capsys):
    run = a_run(tmp_path, GOOD)
    values = CONFIG.to_json() | {"env": "gymnasium:CartPole-v1\x1b]0;pwned\x07\x1b[31m\u202e"}
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert main(["doctor", run]) == 0
    assert r"CartPole-v1\x1b]0;pwned\x07\x1b[31m\u202e, clip" in capsys.readouterr().out


def test_the_exit_code_is_said_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    assert "Exit code 0 also with findings" in " ".join(capsys.readouterr().out.replace("│", " ").split())
