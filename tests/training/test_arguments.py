"""Arguments that are refused before anything begins, by messages that name them."""

import pytest

import proximax
from proximax.config import PPOConfig, RunConfig
from proximax.errors import UsageError
from proximax.training.arguments import check_arguments, check_requirements

CONFIG = RunConfig("probe:matching", steps=64, num_envs=1, ppo=PPOConfig(num_steps=8, minibatch_size=8))
FLAGS = {"quiet": False, "verbose": False, "profile": False, "watch": False}


def arguments(**changed):
    given = {"config": CONFIG, "custom_algorithm": None, "out": None, "network": None, "callbacks": (), "log": None}
    return {**given, "flags": FLAGS, "resume": False, **changed}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"config": {}}, "config = {}: must be a RunConfig"),
        ({"custom_algorithm": "clip"}, "custom_algorithm = 'clip': must be an Algorithm or None"),
        ({"out": 7}, "out = 7"),
        ({"network": "mlp"}, "network = 'mlp': must be a proximax.Network or None"),
        ({"callbacks": [7]}, r"callbacks = \[7\]: must be a list of functions or TrainingCallback objects"),
        ({"log": "csv"}, "log = 'csv': must be a list"),
        ({"flags": FLAGS | {"quiet": 1}}, "quiet = 1"),
        ({"flags": FLAGS | {"quiet": True, "verbose": True}}, "quiet and verbose are both True: give one of them"),
        ({"resume": "always"}, "resume = 'always'"),
    ],
)
def test_an_argument_of_another_type_is_named_with_what_it_must_be(changed, message):
    check_arguments(**arguments())
    with pytest.raises(UsageError, match=message):
        check_arguments(**arguments(**changed))


@pytest.mark.parametrize("name", ["profile", "watch"])
def test_what_writes_into_the_run_directory_needs_one(name):
    check_requirements(CONFIG, "probe:matching", None, None, FLAGS, False)
    with pytest.raises(UsageError, match=f"{name}: its files are in the run directory; name one with out"):
        check_requirements(CONFIG, "probe:matching", None, None, FLAGS | {name: True}, False)


def test_a_resumption_and_a_log_file_need_the_run_directory_too(tmp_path):
    with pytest.raises(UsageError, match="resume: its files are in the run directory"):
        check_requirements(CONFIG, "probe:matching", None, None, FLAGS, "auto")
    with pytest.raises(UsageError, match="log = csv: its file is in the run directory"):
        proximax.run(CONFIG, log=["csv"], quiet=True)
    check_requirements(CONFIG, "probe:matching", tmp_path, ["csv"], FLAGS, "auto")
