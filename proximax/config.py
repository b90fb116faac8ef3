"""Configuration: frozen records, one documented field per switch. The command line is made from them."""

import math
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from proximax.errors import UsageError
from proximax.preprocessing import AtariConfig, atari_from_json
from proximax.ranges import COUNT, Rule, check_names, choice_fault, range_fault

AlgorithmName = Literal["reinforce", "a2c", "npg", "trpo", "surrogate", "penalty", "clip"]
EVERY = r"end|[1-9]\d{0,14}|\d{1,9}(\.\d{1,9})?s"  # what ``checkpoint_every`` may be
MOST_ROWS = 2**31 - 1  # of a rollout
OWN = "own:"  # before the name of an algorithm that is not built in
Anneal = Literal["none", "learning_rate", "epsilon", "both"]
Autoreset = Literal["auto", "next_step", "same_step", "disabled"]
Activation = Literal["tanh", "relu", "elu", "silu"]
Credit = Literal["total", "to-go", "gae"]
KLControl = Literal["stop", "learning_rate", "beta"]
NetworkName = Literal["auto", "mlp", "blocks", "nature", "impala", "lesson"]
BoxDistribution = Literal["gaussian", "squashed_gaussian", "beta"]


@dataclass(frozen=True)
class PPOConfig:
    """How PPO and its kin learn. In brackets: the algorithms that read a setting; none: all of them.

    A default without a source is from Huang et al. 2022, "The 37 implementation details of PPO".
    """

    num_steps: int = 256
    """T, steps of each environment per rollout. With 8 environments 2048 rows, as in arXiv 1707.06347, table 3."""
    minibatch_size: int | None = 64
    """Rows per gradient step, of the critic's alone for reinforce, npg, trpo; divides num_steps x num_envs.
    None: the whole rollout. Source: arXiv 1707.06347, table 3."""
    epochs: int = 10
    """K, passes over each rollout; of the critic alone for reinforce, npg, trpo. Source: arXiv 1707.06347, table 3."""
    learning_rate: float = 3e-4
    """Adam's step size, for npg and trpo that of the critic. Source: arXiv 1707.06347, table 3."""
    anneal: Anneal = "learning_rate"
    """What falls linearly to 0: factor min(1, (1 - update / updates) / (1 - anneal_start))."""
    anneal_start: float = 0.0
    """Share of the updates after which it begins to fall; 0: at once."""
    gamma: float = 0.99
    """γ, discount per step. Source: arXiv 1707.06347, table 3."""
    lam: float = 0.95
    """λ of GAE. Source: arXiv 1707.06347, table 3."""
    credit: Credit = "gae"
    """What an action is weighed with: its trajectory's total return, its return to go, or GAE's advantage."""
    baseline: bool = True
    """V(s) is taken from the total return or the return to go; GAE has it in any case."""
    epsilon: float = 0.2
    """ε, half-width of the ratio's clip band (clip). Source: arXiv 1707.06347, section 6.1."""
    beta: float = 1.0
    """β, weight of KL(old, new), at the start (penalty). Source: arXiv 1707.06347, section 6.1."""
    delta: float = 0.01
    """δ, largest mean KL(old, new) of a step (npg, trpo). Source: arXiv 1502.05477, section 8."""
    damping: float = 0.1
    """Added to the diagonal of the Fisher matrix (npg, trpo). Source: OpenAI Baselines, TRPO."""
    conjugate_gradient_steps: int = 10
    """Fisher-vector products per step (npg, trpo). Source: arXiv 1502.05477, appendix C."""
    backtracks: int = 10
    """How often the line search halves the step before giving up (trpo)."""
    value_epsilon: float | None = None
    """Half-width of the value clip, in units of scaled returns; None: no clip (arXiv 2006.05990 finds no gain)."""
    value_coef: float = 0.5
    """Weight of the value loss, where actor and critic take one step together (a2c, surrogate, penalty, clip)."""
    entropy_coef: float = 0.0
    """Weight of the entropy bonus. 0 for continuous control; 0.01 is common for discrete actions."""
    max_grad_norm: float | None = 0.5
    """Joint global norm of all gradients is clipped to this; None: not clipped."""
    target_kl: float | None = None
    """The KL(old, new) per update that kl_control aims at; None: nothing does (Spinning Up uses 0.01)."""
    kl_control: KLControl = "stop"
    """How: stop before a step once the minibatch's KL exceeds 1.5 target_kl, adapt the learning rate, or adapt β."""
    normalise_obs: bool = True
    """Observations by running mean and variance, clipped to ±10; never images nor discrete observations."""
    normalise_pixels: bool = False
    """Images by running mean and variance of each pixel, clipped to ±10. Source: rl_games, Atari settings."""
    scale_reward: bool = True
    """Rewards divided by the running standard deviation of the discounted return."""
    standardise_advantage: bool = True
    """Advantages (or returns) to mean 0 and standard deviation 1 within each minibatch; all equal: 0."""
    standardise_environments: bool = False
    """Advantages (or returns) of each time step to mean 0 and standard deviation 1 over the environments."""
    recompute_advantage: bool = False
    """Values and advantages anew before every epoch, by the current critic (surrogate, penalty, clip).
    Source: arXiv 2006.05990, section 3.5."""
    box_distribution: BoxDistribution = "gaussian"
    """Of Box actions. A Gaussian is clipped to the bounds; the others lie within them."""
    log_std_init: float = 0.0
    """Initial log σ of Gaussian policies, in units where a bounded action space is [-1, 1]."""
    state_dependent_std: bool = False
    """log σ is an output of the network instead of a parameter of its own."""
    adam_epsilon: float = 1e-5
    """Adam's ε; frameworks default to 1e-8 or 1e-7."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of each hidden layer of the built-in network."""
    activation: Activation = "tanh"
    """Of the built-in network."""
    shared_torso: bool = False
    """One torso for actor and critic instead of two. Separate ones win on continuous control (arXiv 2006.05990)."""
    branch_torsos: bool = False
    """A torso for each entry of a nested observation, instead of one for all of them side by side."""

    def faults(self) -> list[str]:
        """What is wrong with each of these settings by itself, a sentence each."""
        found = [range_fault(name, getattr(self, name), rule) for name, rule in _RANGES.items()]
        found += [
            f"{f.name} = {getattr(self, f.name)!r}: must be True or False"
            for f in fields(self)
            if f.type is bool and not isinstance(getattr(self, f.name), bool)
        ]
        if not isinstance(self.hidden, (tuple, list)) or not self.hidden or not all(map(COUNT.allows, self.hidden)):
            found.append(f"hidden = {self.hidden}: give one or more layer sizes of at least 1")
        found += [choice_fault(name, getattr(self, name), choices) for name, choices in _CHOICES.items()]
        if self.credit == "gae" and not self.baseline:
            found.append("baseline = False: credit = gae subtracts V(s) in any case; choose total or to-go")
        return [fault for fault in found if fault]


_RANGES: dict[str, Rule] = {
    "num_steps": Rule(1, whole=True),
    "minibatch_size": Rule(1, whole=True, optional=True),
    "epochs": Rule(1, whole=True),
    "learning_rate": Rule(0, open_low=True),
    "anneal_start": Rule(0, 0.99),
    "gamma": Rule(0, 1),
    "lam": Rule(0, 1),
    "epsilon": Rule(0, open_low=True),
    "beta": Rule(0, open_low=True),
    "delta": Rule(0, open_low=True),
    "damping": Rule(0),
    "conjugate_gradient_steps": Rule(1, whole=True),
    "backtracks": Rule(0, 60, whole=True),
    "value_epsilon": Rule(0, open_low=True, optional=True),
    "value_coef": Rule(0),
    "entropy_coef": Rule(0),
    "max_grad_norm": Rule(0, open_low=True, optional=True),
    "target_kl": Rule(0, open_low=True, optional=True),
    "log_std_init": Rule(-10, 2),
    "adam_epsilon": Rule(0, open_low=True),
}
_CHOICES = {
    "anneal": Anneal,
    "activation": Activation,
    "credit": Credit,
    "kl_control": KLControl,
    "box_distribution": BoxDistribution,
}
_RUN_RANGES: dict[str, Rule] = {
    "steps": COUNT,
    "seeds": COUNT,
    "seed": Rule(0, 2**63, whole=True),
    "stop_at": Rule(-math.inf, optional=True),
    "turns": COUNT,
    "env_restarts": Rule(0, whole=True),
    "env_timeout": Rule(0, open_low=True),
    "eval_episodes": COUNT,
    "eval_every": Rule(1, whole=True, optional=True),
    "checkpoints_kept": COUNT,
    "video_every": Rule(1, whole=True, optional=True),
}


def _nearest_divisors(batch: int, wanted: int) -> str:
    divisors = {d for i in range(1, math.isqrt(batch) + 1) if batch % i == 0 for d in (i, batch // i)}
    return ", ".join(str(d) for d in sorted(sorted(divisors, key=lambda d: abs(d - wanted))[:3]))


@dataclass(frozen=True)
class RunConfig:
    """A whole training run, complete and resolved: the content of ``config.json``."""

    env: str
    """Where the environment comes from and its id, as ``gymnasium:CartPole-v1``."""
    algo: str = "clip"
    """Which algorithm of the road; ``own:NAME`` for one of your own."""
    preset: str | None = None
    """The preset the settings started from."""
    steps: int = 1_000_000
    """Environment steps of each seed. Whole rollouts only; the rest of a division is left out."""
    seeds: int = 1
    """S, how many seeds train side by side."""
    seed: int = 0
    """The first seed; the others follow: seed, seed + 1, ..."""
    num_envs: int = 8
    """N, environments of each seed."""
    turns: int = 1
    """Groups of each seed's environments: while one steps, the policy acts for the next. The same transitions, sooner
    where the environments leave cores idle; divides num_envs."""
    checkpoint_every: str = "60s"
    """How often to save the whole run: seconds ("60s"), environment steps of each seed ("100000"), or only at the
    "end"."""
    checkpoints_kept: int = 3
    """The newest so many checkpoints are kept, and the best by evaluation."""
    eval_every: int | None = None
    """Evaluate after every so many steps of a seed, for evaluations.jsonl and the best checkpoint; None: at the end."""
    stop_at: float | None = None
    """Stop early once the mean evaluation return of every seed reaches this; None: train all steps."""
    eval_episodes: int = 100
    """Episodes of each seed in an evaluation."""
    eval_sample: bool = False
    """Whether evaluations draw actions from the policy instead of taking its likeliest ones."""
    video_every: int | None = None
    """A video of an evaluation episode after every so many steps of a seed, and at the end; None: no videos."""
    autoreset: Autoreset = "auto"
    """Autoreset mode of the vector environment, where it does not say itself."""
    env_restarts: int = 0
    """How often in the run an environment that crashes is made anew, instead of ending the run."""
    env_timeout: float = 300.0
    """Seconds that a call of an environment in a worker process may take; then it counts as crashed."""
    network: NetworkName = "auto"
    """mlp: a perceptron of ppo.hidden units; the others are convolutional. auto: blocks for images, else mlp."""
    atari: AtariConfig | None = None
    """How an Atari game is shown and played; None for other environments."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """How PPO learns."""

    @property
    def batch_size(self) -> int:
        """Rows of a rollout of one seed: T x N."""
        return self.ppo.num_steps * self.num_envs

    @property
    def updates(self) -> int:
        """Rollouts, and so updates, of the whole run."""
        return self.steps // self.batch_size

    def check(self) -> None:
        """Raise one ``UsageError`` that names every wrong field."""
        found = [range_fault(name, getattr(self, name), rule) for name, rule in _RUN_RANGES.items()]
        for name in ("env", "preset"):
            value = getattr(self, name)
            if not isinstance(value, str) and (name == "env" or value is not None):
                found.append(f"{name} = {value!r}: must be text")
        if not (isinstance(self.algo, str) and self.algo.startswith(OWN)):
            found.append(choice_fault("algo", self.algo, AlgorithmName))
        if not isinstance(self.checkpoint_every, str) or not re.fullmatch(EVERY, self.checkpoint_every):
            found.append(f"checkpoint_every = {self.checkpoint_every!r}: write 60s (seconds), 100000 (steps), or end")
        found.append(choice_fault("autoreset", self.autoreset, Autoreset))
        found.append(choice_fault("network", self.network, NetworkName))
        if not isinstance(self.eval_sample, bool):
            found.append(f"eval_sample = {self.eval_sample!r}: must be True or False")
        if self.atari is not None:
            known = isinstance(self.atari, AtariConfig)
            found += self.atari.faults() if known else [f"atari = {self.atari!r}: must be an AtariConfig or None"]
        parts = [*self.ppo.faults(), range_fault("num_envs", self.num_envs, COUNT)]
        found += parts if any(parts) else self._algorithm_faults() + self._size_faults()
        if any(found):
            raise UsageError("; ".join(fault for fault in found if fault))

    def _algorithm_faults(self) -> list[str]:
        """What does not go with the algorithm."""
        found: list[str] = []
        if not isinstance(self.algo, str) or self.algo.startswith(OWN):
            return found
        if self.algo == "a2c" and self.ppo.epochs != 1:
            found.append(f"epochs = {self.ppo.epochs}: a2c uses each rollout once; set epochs = 1, or algo = surrogate")
        if self.ppo.kl_control == "beta" and self.algo != "penalty":
            found.append(f"kl_control = beta: {self.algo} has no β; choose algo = penalty, or stop or learning_rate")
        if self.algo == "a2c" and self.ppo.minibatch_size not in (None, self.batch_size):
            found.append(f"minibatch_size = {self.ppo.minibatch_size}: a2c takes one step per rollout; set None")
        if self.ppo.target_kl is not None and self.algo in ("npg", "trpo"):
            found.append(f"target_kl = {self.ppo.target_kl}: the KL of a {self.algo} step is bounded by delta")
        if self.ppo.target_kl is not None and self.algo in ("reinforce", "a2c") and self.ppo.kl_control == "stop":
            found.append(
                f"target_kl = {self.ppo.target_kl}: {self.algo} takes one step, with nothing to stop; choose "
                "kl_control = learning_rate"
            )
        return found

    def _size_faults(self) -> list[str]:
        """Sizes that do not fit one another."""
        found: list[str] = []
        batch, minibatch = self.batch_size, self.ppo.minibatch_size or self.batch_size
        rows = f"num_steps x num_envs = {self.ppo.num_steps} x {self.num_envs} = {batch}"
        if batch > MOST_ROWS:
            return [
                f"{rows} rows are more than 32 bits can number; at most {MOST_ROWS} fit. Lower num_steps or num_envs"
            ]
        if batch % minibatch:
            nearest = _nearest_divisors(batch, minibatch)
            found.append(
                f"minibatch_size = {minibatch} does not divide the rollout of {rows} rows; nearest that do: {nearest}"
            )
        if COUNT.allows(self.steps) and self.steps < batch:
            found.append(
                f"steps = {self.steps} is less than one rollout; the least that works is {batch} (num_steps x num_envs)"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """As plain values for ``config.json``."""
        return asdict(self)


def seconds_or_steps(every: str) -> tuple[float | None, int | None]:
    """(seconds, steps) of ``RunConfig.checkpoint_every``: one of them, or none."""
    if every == "end":
        return None, None
    return (float(every[:-1]), None) if every.endswith("s") else (None, int(every))


def from_json(values: dict[str, Any]) -> RunConfig:
    """The config that ``to_json`` wrote. An unknown key is an error that names the nearest known one."""
    ppo = values.get("ppo", {})
    if "env" not in values or not isinstance(ppo, dict):
        raise UsageError("a config needs env, and ppo as an object of settings")
    check_names(ppo, PPOConfig)
    check_names(values, RunConfig)
    if isinstance(ppo.get("hidden"), list):
        ppo = {**ppo, "hidden": tuple(ppo["hidden"])}
    atari = atari_from_json(values.get("atari"))
    return RunConfig(**{**values, "atari": atari, "ppo": PPOConfig(**ppo)})
