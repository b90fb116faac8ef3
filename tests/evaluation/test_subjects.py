"""What is evaluated, and on what."""

import pytest

from proximax.config import RunConfig
from proximax.errors import UsageError
from proximax.evaluation.subjects import seeds_of, single_policy, trained_env, trained_seed
from proximax.exporting.exporter import export_agent
from proximax.runs import load
from proximax.runs.run_export import about_run
from tests.support.exported_agents import agent

CONFIG = RunConfig("gymnasium:CartPole-v1", {"sutton_barto_reward": True}, seed=4, seeds=2)


@pytest.fixture
def exported(tmp_path):
    return export_agent(agent(), tmp_path / "policy.npz", about=about_run(CONFIG, 5, "step-1", 1), check=1)


def test_an_exported_policy_knows_its_environment_and_seed(exported):
    policy = single_policy(exported, None)
    assert trained_seed(policy) == 5
    env, options = trained_env(policy, None, {"x": 1}, allow_import=False)
    assert env == "gymnasium:CartPole-v1"
    assert options["env_kwargs"] == {"sutton_barto_reward": True, "x": 1}
    assert trained_env(policy, "Other-v0", None, allow_import=False)[1]["env_kwargs"] == {}


def test_an_agent_does_not(tmp_path):
    made = agent()
    with pytest.raises(UsageError, match="does not know its environment"):
        single_policy(made, None)
    assert trained_env(made, "X-v0", {"a": 1}, allow_import=False) == ("X-v0", {"env_kwargs": {"a": 1}})
    assert trained_seed(made) == 0
    assert single_policy(tmp_path, None) is None


def test_a_file_that_names_a_package_needs_consent(tmp_path):
    config = RunConfig("gymnasium:not_imported_yet:Env-v0")
    path = export_agent(agent(), tmp_path / "policy.npz", about=about_run(config, 0, "step-1", 1), check=1)
    with pytest.raises(UsageError, match=r"which only the policy's file names, .*--allow-import"):
        trained_env(load(path), None, None, allow_import=False)


def test_seeds_follow_one_another():
    assert seeds_of(CONFIG) == (4, 5)
