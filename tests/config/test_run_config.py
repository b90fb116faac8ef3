"""Configuration: every fault at once and in words, JSON there and back. Faults 30 to 34."""

import contextlib
import json
import math
from dataclasses import FrozenInstanceError, fields, replace
from typing import get_args

import pytest
from hypothesis import given

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig, from_json
from proximax.config.validation import check_names
from proximax.errors import ProximaxError, UsageError
from tests.support.strategies import broken, run_configs

PPO_FIELDS = {f.name for f in fields(PPOConfig)}


def config(**settings):
    """A run config from the fields of both records."""
    ppo = {name: value for name, value in settings.items() if name in PPO_FIELDS}
    run = {name: value for name, value in settings.items() if name not in PPO_FIELDS}
    return RunConfig(**{"env": "gymnasium:X-v0", **run, "ppo": PPOConfig(**ppo)})


def fault(**settings):
    """What ``check`` says about these settings."""
    with pytest.raises(UsageError) as caught:
        config(**settings).check()
    assert caught.value.code == 2
    return str(caught.value)


def test_the_defaults_are_valid_and_make_2048_rows_as_in_the_paper():
    config().check()
    assert config().ppo.num_steps * config().num_envs == 2048
    assert config(steps=10_000).updates == 4  # whole rollouts only: 8192 steps


WRONG = [
    ("num_steps", 0, "must be an integer >= 1"),
    ("minibatch_size", 2.5, "must be an integer >= 1"),
    ("epochs", 0, "must be an integer >= 1"),
    ("learning_rate", 0, "must be a number > 0"),
    ("learning_rate", float("nan"), "must be a number > 0"),
    ("learning_rate", float("inf"), "must be a number > 0"),
    ("learning_rate", "1e-4", "must be a number > 0"),  # as YAML would read it
    ("learning_rate", None, "must be a number > 0"),
    ("gamma", 1.01, "must be a number >= 0 and <= 1"),
    ("lam", -0.1, "must be a number >= 0 and <= 1"),
    ("epsilon", 0.0, "must be a number > 0"),
    ("value_epsilon", 0.0, "must be a number > 0, or None"),
    ("value_coef", -1, "must be a number >= 0"),
    ("entropy_coef", -0.01, "must be a number >= 0"),
    ("max_grad_norm", 0, "must be a number > 0, or None"),
    ("target_kl", -0.01, "must be a number > 0, or None"),
    ("beta", 0.0, "must be a number > 0"),
    ("epsilon_high", 0, "must be a number > 0, or None"),
    ("dual_clip", 1, "must be a number > 1, or None"),
    ("kl_band", 1, "must be a number > 1, or None"),
    ("value_epochs", -1, "must be an integer >= 0"),
    ("max_kl", 0, "must be a number > 0"),
    ("damping", -0.1, "must be a number >= 0"),
    ("conjugate_gradient_steps", 0, "must be an integer >= 1"),
    ("line_search_steps", 61, "must be an integer >= 0 and <= 60"),  # ½⁶⁰ of a step is none
    ("line_search_steps", -1, "must be an integer >= 0 and <= 60"),
    ("advantage", "'togo'", "must be one of total, to-go, gae"),
    ("kl_control", "'lr'", "must be one of stop, learning_rate, beta"),
    ("box_distribution", "'normal'", "must be one of gaussian, squashed_gaussian, beta, binned, ordinal"),
    ("bins", 1, "must be an integer >= 2 and <= 1001"),
    ("log_std_init", 2.5, "must be a number >= -10 and <= 2"),
    ("adam_epsilon", 0.0, "must be a number > 0"),
    ("hidden", (), "one or more layer sizes of at least 1"),
    ("hidden", (64, 0), "one or more layer sizes of at least 1"),
    ("hidden", (64, 2.5), "one or more layer sizes of at least 1"),
    ("anneal_end", -0.1, "must be a number >= 0"),
    ("recurrent_layers", 65, "must be an integer >= 1 and <= 64"),
    ("recurrent_units", 0, "must be an integer >= 1"),
    ("sequence_length", 0, "must be an integer >= 1, or None"),
    ("anneal_start", 1.0, "must be a number >= 0 and <= 0.99"),
    ("anneal_start", -0.1, "must be a number >= 0 and <= 0.99"),
    ("activation", "'gelu'", "must be one of tanh, relu, elu, silu"),
    ("algo", "'klip'", "must be one of reinforce, a2c, npg, trpo, surrogate, penalty, clip"),
    ("algo", "'own'", "must be one of reinforce"),  # of one's own: custom:NAME
    ("autoreset", "'no'", "must be one of auto, next_step, same_step, disabled"),
    ("num_envs", 0, "must be"),
    ("seeds", 0, "must be an integer >= 1"),
    ("seed", -1, "must be an integer >= 0"),
    ("eval_episodes", 0, "must be an integer >= 1"),
    ("steps", 1e6, "must be an integer >= 1"),
]


@pytest.mark.fault(31)
@pytest.mark.parametrize(("name", "value", "remedy"), WRONG)
def test_a_value_out_of_range_is_named_with_its_range(name, value, remedy):
    text = fault(**{name: value.strip("'") if isinstance(value, str) else value})
    assert text.startswith(f"{name} = {value}: ")
    assert remedy in text


def test_a_function_in_the_place_of_a_number_is_answered_with_what_takes_one():
    for name in ("learning_rate", "epsilon"):
        text = fault(**{name: lambda remaining: remaining * 1e-3})
        assert "must be a number > 0" in text
        assert "callbacks=[proximax.Schedule(learning_rate=function)]" in text


@pytest.mark.fault(31)
@pytest.mark.parametrize("anneal", ["linear", ("none", "epsilon"), ("learning_rate", 3), 0.5, None])
def test_what_cannot_be_annealed_is_named_with_what_can(anneal):
    assert fault(anneal=anneal).endswith("must be none, or one or more of learning_rate, epsilon, entropy_coef")


def test_what_is_annealed_may_be_given_as_one_name_or_several():
    forms = [
        ("none", ()),
        ([], ()),
        ("epsilon", ("epsilon",)),
        ("both", ("learning_rate", "epsilon")),
        (["entropy_coef", "epsilon"], ("entropy_coef", "epsilon")),
    ]
    for form, expected in forms:
        assert PPOConfig(anneal=form).anneal == expected
        again = from_json(json.loads(json.dumps(config(anneal=form).to_json())))
        assert again.ppo.anneal == expected


@pytest.mark.fault(31)
def test_the_ends_of_each_range_are_allowed():
    for allowed in (
        config(gamma=1, lam=1.0, value_coef=0, entropy_coef=0, log_std_init=-10, hidden=(1,)),
        config(gamma=0, lam=0, value_epsilon=None, max_grad_norm=None, target_kl=None, seed=0),
        config(num_steps=1, num_envs=1, minibatch_size=1, epochs=1, steps=1, seeds=1, eval_episodes=1),
    ):
        assert allowed.check() is None  # no fault raised


REFUSED = [
    (
        {"sequence_length": 96},
        "sequence_length = 96: must divide num_steps = 256 and minibatch_size = 64; the largest that does: 64",
    ),
    ({"shards": 0}, "shards = 0: must be an integer >= 1"),
    ({"shards": 3}, "shards = 3: must divide num_envs = 8; shards = 3: must divide minibatch_size = 64"),
    (
        {"shards": 2, "sequence_length": 64},
        "sequence_length = 64: must divide num_steps = 256 and minibatch_size / shards = 32; the largest that does: 32",
    ),
    ({"algo": "a2c"}, "epochs = 10: a2c uses each rollout once; set epochs = 1, or algo = surrogate"),
    ({"algo": "a2c", "epochs": 1}, "minibatch_size = 64: a2c takes one step per rollout; set None"),
    ({"kl_control": "beta"}, "kl_control = beta: clip has no β; choose algo = penalty, or stop or learning_rate"),
    ({"algo": "reinforce", "kl_control": "beta", "target_kl": 0.1}, "kl_control = beta: reinforce has no β"),
    ({"algo": "npg", "target_kl": 0.01}, "target_kl = 0.01: the KL of a npg step is bounded by max_kl"),
    ({"algo": "trpo", "target_kl": 0.01, "kl_control": "learning_rate"}, "target_kl = 0.01: the KL of a trpo step"),
    (
        {"algo": "a2c", "epochs": 1, "minibatch_size": None, "target_kl": 0.1},
        "target_kl = 0.1: a2c takes one step, with",
    ),
    ({"algo": "reinforce", "target_kl": 0.1}, "nothing to stop; choose kl_control = learning_rate"),
    ({"algo": "spo", "dual_clip": 3.0}, "dual_clip = 3.0: spo does not clip the ratio; leave it out, or algo = clip"),
    ({"algo": "trpo", "epsilon_high": 0.3}, "epsilon_high = 0.3: trpo does not clip the ratio"),
    ({"kl_band": 1.5}, "kl_band = 1.5: needs target_kl and kl_control = learning_rate"),
    ({"learning_rate_max": 0.1, "target_kl": 0.01}, "learning_rate_max = 0.1: needs target_kl and kl_control"),
    ({"algo": "npg", "value_epochs": 2}, "value_epochs = 2: epochs are the critic's alone in npg"),
    ({"baseline": False}, "baseline = False: advantage = gae always subtracts V(s); choose total or to-go"),
    ({"algo": "reinforce", "advantage": "gae", "baseline": False}, "baseline = False: advantage = gae"),
]
GOES = [
    {"algo": "a2c", "epochs": 1, "minibatch_size": None},
    {"algo": "a2c", "epochs": 1, "minibatch_size": 2048, "target_kl": 0.1, "kl_control": "learning_rate"},
    {"algo": "penalty", "kl_control": "beta", "target_kl": 0.01},
    {"algo": "penalty", "kl_control": "stop", "target_kl": None},
    {"algo": "surrogate", "kl_control": "learning_rate", "target_kl": 0.01},
    {"algo": "reinforce", "advantage": "total", "baseline": False},
    {"algo": "trpo", "advantage": "to-go", "baseline": False},
    {"algo": "clip", "epsilon_high": 0.28, "dual_clip": 3.0},
    {"algo": "penalty", "kl_control": "learning_rate", "target_kl": 0.01, "kl_band": 1.5, "learning_rate_min": 1e-5},
    {"algo": "surrogate", "value_epochs": 2},
    {"algo": "npg", "line_search_steps": 0},
    {"algo": "custom:mine", "epochs": 3, "kl_control": "beta", "target_kl": 0.01},  # ours to refuse only what cannot be
]


@pytest.mark.fault(31)
@pytest.mark.parametrize(("settings", "text"), REFUSED)
def test_a_setting_that_does_not_go_with_the_algorithm_is_named_with_what_does(settings, text):
    assert text in fault(**settings)


@pytest.mark.fault(31)
def test_every_setting_that_does_not_go_with_the_algorithm_is_named_at_once():
    text = fault(algo="a2c", minibatch_size=100, kl_control="beta", target_kl=0.1, steps=100)
    for part in ("epochs = 10: a2c", "kl_control = beta: a2c", "minibatch_size = 100: a2c", "steps = 100 is less"):
        assert part in text


@pytest.mark.parametrize("settings", GOES)
def test_what_goes_with_an_algorithm_is_allowed(settings):
    assert config(**settings).check() is None


@pytest.mark.fault(31)
def test_every_wrong_field_is_reported_at_once():
    text = fault(gamma=1.5, epsilon=-0.2, epochs=0, hidden=(), anneal="x", num_envs=0, seeds=0, steps=-5, algo="y")
    for part in ("gamma = 1.5", "epsilon = -0.2", "epochs = 0", "hidden = ()", "anneal = ('x',)", "num_envs = 0"):
        assert part in text
    for part in ("seeds = 0", "steps = -5", "algo = 'y'"):
        assert part in text


@pytest.mark.fault(34)
@pytest.mark.parametrize("name", sorted((PPO_FIELDS | {f.name for f in fields(RunConfig)}) - {"ppo"}))
def test_a_wrong_type_is_refused_in_every_field(name):
    assert name in fault(**{name: object()})


@pytest.mark.fault(34)
@pytest.mark.parametrize("name", ["learning_rate", "num_steps", "seed", "steps", "num_envs", "stop_at_return"])
def test_a_truth_value_is_no_number(name):
    assert f"{name} = True: must be" in fault(**{name: True})


@pytest.mark.fault(34)
def test_layers_that_are_no_list_or_truth_values_are_refused_in_words():
    assert "hidden = 64" in fault(hidden=64)
    assert "hidden = (True,)" in fault(hidden=(True,))


def test_a_seed_that_does_not_fit_64_bits_is_refused():
    config(seed=2**63 - 1).check()
    assert f"seed = {2**64}" in fault(seed=2**64)


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("num_steps", "num_envs", "minibatch_size", "nearest"),
    [(100, 3, 64, "50, 60, 75"), (4, 4, 64, "4, 8, 16"), (7, 1, 3, "1, 7"), (32, 8, 100, "32, 64, 128")],
)
def test_an_indivisible_minibatch_names_the_three_nearest(num_steps, num_envs, minibatch_size, nearest):
    text = fault(num_steps=num_steps, num_envs=num_envs, minibatch_size=minibatch_size)
    assert f"minibatch_size = {minibatch_size} does not divide" in text
    assert f"{num_steps} x {num_envs} = {num_steps * num_envs} transitions" in text
    assert text.endswith(f"nearest that do: {nearest}")
    for size in nearest.split(", "):
        config(num_steps=num_steps, num_envs=num_envs, minibatch_size=int(size)).check()


@pytest.mark.fault(32)
def test_less_than_one_rollout_names_the_least_that_works():
    assert "steps = 2047 is less than one rollout; the least that works is 2048" in fault(steps=2047)
    config(steps=2048).check()
    both = fault(steps=10, minibatch_size=100)
    assert "does not divide" in both
    assert "the least that works is 2048" in both


@pytest.mark.fault(33)
def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="unknown setting 'learning_rat'; did you mean 'learning_rate'"):
        check_names({"learning_rat": 1e-3}, RunConfig, PPOConfig)
    with pytest.raises(UsageError, match="unknown setting 'num_env'; did you mean 'num_envs'"):
        from_json({"env": "x", "num_env": 4})
    with pytest.raises(UsageError, match=r"unknown setting 'zzz'; known: num_steps, .*, shared_torso"):
        from_json({"env": "x", "ppo": {"zzz": 4}})
    check_names({"steps": 1, "gamma": 1}, RunConfig, PPOConfig)


def test_a_config_survives_json_with_its_types():
    once = config(
        hidden=(8, 16, 4), value_epsilon=0.3, stop_at_return=475.5, preset="cartpole", shared_torso=True, seed=2**40
    )
    again = from_json(json.loads(json.dumps(once.to_json(), allow_nan=False)))
    assert again == once
    assert again.ppo.hidden == (8, 16, 4)
    assert isinstance(again.ppo.hidden, tuple)
    assert from_json({"env": "x"}) == RunConfig("x")  # what is left out has its default


@pytest.mark.parametrize(
    "values", [{}, {"env": "x", "ppo": 5}, {"env": "x", "ppo": None}, {"env": "x", "ppo": {"hidden": 5}}]
)
def test_json_of_another_shape_is_a_fault_and_no_crash(values):
    with pytest.raises(ProximaxError):
        from_json(values).check()


def test_a_config_is_frozen():
    with pytest.raises(FrozenInstanceError):
        config().steps = 5
    with pytest.raises(FrozenInstanceError):
        config().ppo.gamma = 0.5


@pytest.mark.fault(30)
@pytest.mark.parametrize("sizes", [{"num_steps": 2**28}, {"num_envs": 10**12}, {"num_steps": 10**30, "num_envs": 7}])
def test_more_rows_than_32_bits_can_number_are_refused_at_once(sizes):
    assert "transitions are more than 32 bits can number; at most 2147483647 fit" in fault(minibatch_size=3, **sizes)


# ---------------------------------------------------------------- any configuration


@pytest.mark.slow
@given(run_configs())
def test_any_valid_config_survives_json(config):
    config.check()
    written = json.loads(json.dumps(config.to_json(), allow_nan=False))
    again = from_json(written)
    assert again == config
    again.check()
    types = [{name: type(x) for name, x in vars(record).items()} for record in (config, again)]
    assert types[0] == types[1]


NO_NUMBER = [math.nan, math.inf, -math.inf, 10**400, "1", True, [1], {}, (2,)]
NO_CHOICE = ["", "Nonsense", 0, True, ["clip"], None, {}, math.nan]
BAD = {  # by a field's annotation
    "int": [*NO_NUMBER, None, -1, 0.5, 2.0],
    "float": [*NO_NUMBER, None],
    "int | None": [*NO_NUMBER, -1, 0, 0.5],
    "float | None": NO_NUMBER,
    "bool": [0, 1, None, "True", []],
    "tuple[int, ...]": [None, 5, (), (0,), (4.0,), ("4",), (True,), "64", {"4": 4}, (math.nan,)],
    "str": [None, 5, True, ["x"]],
    "str | None": [5, True, ["x"]],
    "dict": [None, 5, [1], {1: 2}, {"x": object()}, {"x": (1, {2})}],
    "tuple[int, ...] | None": [5, (), (1,), (1, 1), (-1, 2), ("1", "2"), [1, 2]],
}


def kind_of(field):
    """The annotation as it is written; "choice" of a ``Literal``."""
    name = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))
    return str(field.type) if "|" in str(field.type) or "tuple" in str(field.type) else name


@pytest.mark.slow
@pytest.mark.fault(31)
@given(run_configs().filter(lambda config: config.atari))
def test_any_single_wrong_field_is_refused_by_its_name(config):
    for part in ("run", "ppo", "atari"):
        record = config if part == "run" else getattr(config, part)
        for field in fields(record):
            no_choice = [x for x in NO_CHOICE if x is not None or type(None) not in get_args(field.type)]
            for value in () if field.name in ("ppo", "atari") else BAD.get(kind_of(field), no_choice):
                wrong = replace(record, **{field.name: value})
                with pytest.raises(UsageError, match=rf"(?s)\b{field.name} = "):
                    (wrong if part == "run" else replace(config, **{part: wrong})).check()


@pytest.mark.fault(33)
@given(run_configs().flatmap(lambda config: broken(json.loads(json.dumps(config.to_json())))))
def test_json_with_any_one_part_wrong_is_a_config_or_a_fault(values):
    with contextlib.suppress(UsageError):
        from_json(values).check()
