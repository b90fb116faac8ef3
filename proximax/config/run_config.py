"""Configuration: frozen records, one documented field per switch. The command line is made from them."""

import math
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from proximax.config.atari_config import AtariConfig, atari_from_json
from proximax.config.ppo_config import PPOConfig
from proximax.config.renames import current_names
from proximax.config.validation import COUNT, Rule, check_names, choice_problem, range_problem
from proximax.errors import UsageError

AlgorithmName = Literal["reinforce", "a2c", "npg", "trpo", "surrogate", "penalty", "clip"]
CHECKPOINT_EVERY_PATTERN = r"end|[1-9]\d{0,14}|\d{1,9}(\.\d{1,9})?s"  # what ``checkpoint_every`` may be
MAX_ROWS = 2**31 - 1  # of a rollout
CUSTOM = "custom:"  # before the name of an algorithm that is not built in
Autoreset = Literal["auto", "next_step", "same_step", "disabled"]
NetworkName = Literal["auto", "mlp", "patch-cnn", "nature", "impala", "pong-small"]
_RUN_RANGES: dict[str, Rule] = {
    "steps": COUNT,
    "seeds": COUNT,
    "seed": Rule(0, 2**63, whole=True),
    "stop_at_return": Rule(-math.inf, optional=True),
    "env_groups": COUNT,
    "env_restarts": Rule(0, whole=True),
    "env_timeout": Rule(0, open_low=True),
    "eval_episodes": COUNT,
    "eval_every": Rule(1, whole=True, optional=True),
    "keep_checkpoints": COUNT,
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
    """Which algorithm of the road; ``custom:NAME`` for one of your own."""
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
    env_groups: int = 1
    """Groups of each seed's environments: while one steps, the policy acts for the next. The same transitions, sooner
    where the environments leave cores idle; divides num_envs."""
    checkpoint_every: str = "60s"
    """How often to save the whole run: seconds ("60s"), environment steps of each seed ("100000": after the first
    update at or beyond each multiple), or only at the "end"."""
    keep_checkpoints: int = 3
    """The newest so many checkpoints are kept, and the best by evaluation."""
    eval_every: int | None = None
    """Evaluate after the first update at or beyond each multiple of so many steps of a seed, for evaluations.jsonl and
    the best checkpoint; None: at the end."""
    stop_at_return: float | None = None
    """Stop early once the mean evaluation return of every seed reaches this; None: train all steps."""
    eval_episodes: int = 100
    """Episodes of each seed in an evaluation."""
    eval_stochastic: bool = False
    """Whether evaluations draw actions from the policy instead of taking its likeliest ones."""
    video_every: int | None = None
    """A video of an evaluation episode after the first update at or beyond each multiple of so many steps of a seed,
    and at the end; None: no videos."""
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
        found = [range_problem(name, getattr(self, name), rule) for name, rule in _RUN_RANGES.items()]
        for name in ("env", "preset"):
            value = getattr(self, name)
            if not isinstance(value, str) and (name == "env" or value is not None):
                found.append(f"{name} = {value!r}: must be text")
        if not (isinstance(self.algo, str) and self.algo.startswith(CUSTOM)):
            found.append(choice_problem("algo", self.algo, AlgorithmName))
        if not isinstance(self.checkpoint_every, str) or not re.fullmatch(
            CHECKPOINT_EVERY_PATTERN, self.checkpoint_every
        ):
            found.append(f"checkpoint_every = {self.checkpoint_every!r}: write 60s (seconds), 100000 (steps), or end")
        found.append(choice_problem("autoreset", self.autoreset, Autoreset))
        found.append(choice_problem("network", self.network, NetworkName))
        if not isinstance(self.eval_stochastic, bool):
            found.append(f"eval_stochastic = {self.eval_stochastic!r}: must be True or False")
        if self.atari is not None:
            known = isinstance(self.atari, AtariConfig)
            found += self.atari.faults() if known else [f"atari = {self.atari!r}: must be an AtariConfig or None"]
        parts = [*self.ppo.faults(), range_problem("num_envs", self.num_envs, COUNT)]
        found += parts if any(parts) else self._algorithm_faults() + self._size_faults()
        if any(found):
            raise UsageError("; ".join(fault for fault in found if fault))

    def _algorithm_faults(self) -> list[str]:
        """What does not go with the algorithm."""
        found: list[str] = []
        if not isinstance(self.algo, str) or self.algo.startswith(CUSTOM):
            return found
        if self.algo == "a2c" and self.ppo.epochs != 1:
            found.append(f"epochs = {self.ppo.epochs}: a2c uses each rollout once; set epochs = 1, or algo = surrogate")
        if self.ppo.kl_control == "beta" and self.algo != "penalty":
            found.append(f"kl_control = beta: {self.algo} has no β; choose algo = penalty, or stop or learning_rate")
        if self.algo == "a2c" and self.ppo.minibatch_size not in (None, self.batch_size):
            found.append(f"minibatch_size = {self.ppo.minibatch_size}: a2c takes one step per rollout; set None")
        if self.ppo.target_kl is not None and self.algo in ("npg", "trpo"):
            found.append(f"target_kl = {self.ppo.target_kl}: the KL of a {self.algo} step is bounded by max_kl")
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
        if batch > MAX_ROWS:
            return [
                f"{rows} rows are more than 32 bits can number; at most {MAX_ROWS} fit. Lower num_steps or num_envs"
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
    ppo, values = (current_names(settings, warn=False) for settings in (ppo, values))
    if values.get("preset") == "none":  # as version 0.1 wrote the flag --preset none
        values["preset"] = None
    check_names(ppo, PPOConfig)
    check_names(values, RunConfig)
    if isinstance(ppo.get("hidden"), list):
        ppo = {**ppo, "hidden": tuple(ppo["hidden"])}
    atari = atari_from_json(values.get("atari"))
    return RunConfig(**{**values, "atari": atari, "ppo": PPOConfig(**ppo)})
