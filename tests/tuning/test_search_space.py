"""What is searched: the default fits every algorithm, and a space that is none is refused by name."""

import pytest

from proximax.config import ALIASES, NUMBERS
from proximax.errors import UsageError
from proximax.training import resolve
from proximax.tuning.search_space import (
    SEARCHABLE,
    Parameter,
    default_space,
    describe_space,
    search_space,
    with_settings,
)

CONFIG, _ = resolve("CartPole-v1", "none", {})


@pytest.mark.parametrize("algo", ["reinforce", "a2c", "npg", "trpo", "surrogate", "penalty", "clip", "spo"])
def test_the_default_space_holds_what_the_algorithm_reads_within_the_settings_ranges(algo):
    config, _ = resolve("CartPole-v1", "none", {"algo": algo})
    space = search_space(None, config)
    assert set(space) <= set(SEARCHABLE)
    assert ("epsilon" in space) == (algo in ("clip", "spo"))
    assert ("max_kl" in space) == (algo in ("npg", "trpo"))
    without, _ = resolve("CartPole-v1", "none", {"algo": algo, "max_grad_norm": None})
    assert "max_grad_norm" not in default_space(without)
    lowest = with_settings(config, {name: parameter.low for name, parameter in space.items()})
    assert lowest.numbers().keys() == config.numbers().keys()  # the same program


def test_a_space_is_read_from_toml_json_and_python_alike(tmp_path):
    (tmp_path / "a.toml").write_text('gamma = {low = 0.9, high = 0.99, scale = "log-complement"}\nlam.choices = [0, 1]')
    (tmp_path / "a.json").write_text(
        '{"gamma": {"low": 0.9, "high": 0.99, "scale": "log-complement"}, "lam": {"choices": [0, 1]}}'
    )
    wanted = {"gamma": Parameter(0.9, 0.99, "log-complement"), "lam": Parameter(choices=(0.0, 1.0))}
    as_dict = {name: parameter.to_json() for name, parameter in wanted.items()}
    for given in (tmp_path / "a.toml", str(tmp_path / "a.json"), as_dict):
        assert search_space(given, CONFIG) == wanted
    text = "  gamma  0.9 to 0.99, 1 - x logarithmic\n  lam    one of 0, 1"
    assert describe_space(wanted) == text


def test_names_of_other_libraries_mean_what_they_mean_elsewhere():
    alias = next(name for name, own in ALIASES.items() if own in NUMBERS)
    assert set(search_space({alias: {"choices": [0.5]}}, CONFIG)) == {ALIASES[alias]}


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "names no setting"),
        ({"gama": {"low": 0, "high": 1}}, "did you mean 'gamma'"),
        ({"num_steps": {"choices": [8, 16]}}, "num_steps is structure"),
        ({"gamma": 0.9}, "gamma = 0.9: write"),
        ({"gamma": {"low": 0.9}}, "gamma has no high"),
        ({"gamma": {"low": 0.9, "high": 0.99, "step": 1}}, "gamma has step"),
        ({"gamma": {"low": 0.9, "high": "1"}}, "gamma.high = 1: must be a number"),
        ({"gamma": {"low": 0.9, "high": 0.99, "scale": "cubic"}}, "gamma.scale = 'cubic': must be one of linear"),
        ({"gamma": {"low": 0.9, "high": 0.9}}, "must be less than high"),
        ({"gamma": {"low": 0.9, "high": 1.5}}, "gamma = 1.5: must be a number >= 0 and <= 1"),
        ({"gamma": {"low": 0.9, "high": 1, "scale": "log-complement"}}, "high = 1 must be < 1"),
        ({"entropy_coef": {"low": 0, "high": 1, "scale": "log"}}, "low = 0 must be > 0"),
        ({"learning_rate": {"low": -1, "high": 1}}, "learning_rate = -1"),
        ({"gamma": {"choices": []}}, "must be a list of numbers"),
        ({"gamma": {"choices": [0.9], "low": 0.1}}, "stand alone"),
        ({"gamma": {"choices": [True]}}, "must be a list of numbers"),
        ([1], "must be a TOML or JSON file"),
    ],
)
def test_a_space_that_is_none_is_refused_with_what_is_wrong(space, said):
    with pytest.raises(UsageError) as info:
        search_space(space, CONFIG)
    assert said in str(info.value)
