"""proximax: Proximal Policy Optimization, as small pure functions that compile to one program."""

import warnings
from typing import Any

from proximax import maths
from proximax.config import PPOConfig, RunConfig
from proximax.envs import HostEnv, JaxEnv, make_env
from proximax.errors import ProximaxError
from proximax.evaluation import Evaluation, Video, evaluate, video
from proximax.networks import Network, mlp
from proximax.policy import Agent, Policy, make_policy
from proximax.ppo import ALGORITHMS, Algorithm, ObjectiveInputs, ScheduledValues, make_host_learner, make_learner
from proximax.reports import compare
from proximax.runs import load
from proximax.training import Result, run, train

__all__ = [
    "ALGORITHMS",
    "Agent",
    "Algorithm",
    "Evaluation",
    "HostEnv",
    "JaxEnv",
    "Network",
    "ObjectiveInputs",
    "PPOConfig",
    "Policy",
    "ProximaxError",
    "Result",
    "RunConfig",
    "ScheduledValues",
    "Video",
    "compare",
    "evaluate",
    "load",
    "make_env",
    "make_host_learner",
    "make_learner",
    "make_policy",
    "maths",
    "mlp",
    "run",
    "train",
    "video",
]


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Names of an earlier version, for one release."""
    renamed = {"Signals": "ObjectiveInputs", "Rates": "ScheduledValues"}
    if name not in renamed:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"proximax.{name} is called proximax.{renamed[name]} now", DeprecationWarning, stacklevel=2)
    return globals()[renamed[name]]
