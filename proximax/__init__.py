"""proximax: Proximal Policy Optimization, as small pure functions that compile to one program."""

from proximax import maths
from proximax.agent import Agent
from proximax.algorithms import ALGORITHMS
from proximax.compare import compare
from proximax.config import PPOConfig, RunConfig
from proximax.envs import HostEnv, JaxEnv, make_env
from proximax.errors import ProximaxError
from proximax.evaluate import Evaluation, evaluate
from proximax.loading import load
from proximax.networks import Network, mlp
from proximax.policy import Policy, make_policy
from proximax.ppo import make_host_learner, make_learner
from proximax.result import Result
from proximax.train import run, train
from proximax.update import Algorithm, Rates, Signals
from proximax.video import Video, video

__all__ = [
    "ALGORITHMS",
    "Agent",
    "Algorithm",
    "Evaluation",
    "HostEnv",
    "JaxEnv",
    "Network",
    "PPOConfig",
    "Policy",
    "ProximaxError",
    "Rates",
    "Result",
    "RunConfig",
    "Signals",
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
