"""The doctor finds each fault in a real run broken on purpose, and nothing in healthy ones at any moment of them."""

import inspect
import json
import os
import re
from dataclasses import fields

import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import proximax
from proximax.cli.dispatch import main
from proximax.config.ppo_config import PPOConfig
from proximax.config.presets import PRESETS
from proximax.doctor import checks
from proximax.doctor.diagnosis import CHECKS, SEVERITIES, columns, diagnose_run, run_checks
from proximax.envs.probe import PROBES, _one, _probe, recall
from proximax.errors import CheckpointError, NumericalError
from proximax.maths import adapt_learning_rate
from proximax.networks.base import Network
from proximax.networks.dense import mlp, mlp_torso
from proximax.networks.recurrent import Cell, recurrent
from proximax.runs.metrics import METRICS
from proximax.runs.metrics_file import read_metrics
from tests.support import ROOT
from tests.support.doctor_rows import CONFIG, SMALL, UPDATE, as_rows, healthy, names, some

HEALTHY = ROOT / "tests" / "data" / "healthy"


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


def adding(decay, kept=1.0):
    """A network with memory that adds its input to ``decay`` of it, and hands ``kept`` of the sum on."""

    def step(params, carry, inputs):
        x, first = inputs
        carry = decay * jnp.where(first[:, None], 0.0, carry) + x
        return kept * carry, jnp.tanh(carry)

    cell = Cell(lambda rng, inputs: {}, lambda batch: jnp.zeros((batch, 16)), step, units=16)
    return recurrent(2, mlp_torso((16,), "tanh"), [cell])


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
    "memory-explodes": (recall(length=16), {"network": adding(2.0), "steps": 10 * UPDATE, **SMALL}),
    "memory-unused": (PROBES["recall"](), {"network": adding(1.0, kept=0.0), "steps": 22 * UPDATE, **SMALL}),
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


@pytest.mark.slow
def test_a_probe_in_which_actions_change_nothing_is_said_to_have_no_signal():
    result = proximax.train(PROBES["endless"](), eval_episodes=1, quiet=True, steps=20 * UPDATE, **SMALL)
    assert "no-signal" in names(run_checks(columns(result.history), result.config))


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
    assert "x, clip, 1 seed: 1 of 100 updates, not finished\nnothing wrong: 20 checks" in capsys.readouterr().out
    assert main(["doctor", a_run(tmp_path, "")]) == 0
    assert "no update was made" in capsys.readouterr().out


def test_a_traceback_is_told_without_its_control_characters(tmp_path, capsys):
    run = a_run(tmp_path, GOOD)
    (tmp_path / "error.log").write_text("Traceback\nValueError: \x1b[31mred\n\n")
    assert main(["doctor", run]) == 0
    assert "ended by  ValueError: \\x1b[31mred\nnothing else wrong: " in capsys.readouterr().out


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
