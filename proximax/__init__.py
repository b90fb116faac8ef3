"""proximax: Proximal Policy Optimization, as small pure functions that compile to one program."""

from typing import Any

from proximax import _renamed, maths
from proximax.config import AtariConfig, PPOConfig, RunConfig
from proximax.envs import HostEnv, JaxEnv, make_env
from proximax.errors import ProximaxError
from proximax.evaluation import Evaluation, Video, evaluate, video
from proximax.loggers import Logger
from proximax.networks import Network, from_equinox, from_linen, from_nnx, mlp
from proximax.policy import Agent, Policy, make_policy
from proximax.ppo import (
    ALGORITHMS,
    Algorithm,
    ObjectiveInputs,
    ScheduledValues,
    make_host_learner,
    make_learner,
    stack_seeds,
)
from proximax.reports import compare, plot, report
from proximax.runs import export, load
from proximax.runtime import seed_key
from proximax.training import Result, Schedule, Training, TrainingCallback, run, train
from proximax.tuning import TuneResult, tune
from proximax.types import RewardHook, Transition
from proximax.web import Watcher, watch

__all__ = [
    "ALGORITHMS",
    "Agent",
    "Algorithm",
    "AtariConfig",
    "Evaluation",
    "HostEnv",
    "JaxEnv",
    "Logger",
    "Network",
    "ObjectiveInputs",
    "PPOConfig",
    "Policy",
    "ProximaxError",
    "Result",
    "RewardHook",
    "RunConfig",
    "Schedule",
    "ScheduledValues",
    "Training",
    "TrainingCallback",
    "Transition",
    "TuneResult",
    "Video",
    "Watcher",
    "compare",
    "evaluate",
    "export",
    "from_equinox",
    "from_linen",
    "from_nnx",
    "load",
    "make_env",
    "make_host_learner",
    "make_learner",
    "make_policy",
    "maths",
    "mlp",
    "plot",
    "report",
    "run",
    "seed_key",
    "stack_seeds",
    "train",
    "tune",
    "video",
    "watch",
]


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Names of an earlier version, for one release."""
    return _renamed.renamed_name(__name__, name)


_renamed.install()
