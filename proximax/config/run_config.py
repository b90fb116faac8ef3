"""Settings of a run: one frozen record, one documented field per setting. The command line is made from it."""

import json
import math
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from proximax.config.atari_config import AtariConfig, atari_from_json
from proximax.config.libraries import LibraryName
from proximax.config.ppo_config import PPOConfig
from proximax.config.renames import current_names
from proximax.config.validation import (
    COUNT,
    SEED,
    Rule,
    bool_problem,
    check_names,
    choice_problem,
    make_plain,
    range_problem,
    refuse,
    shown,
    type_problem,
)
from proximax.errors import UsageError

AlgorithmName = Literal["reinforce", "a2c", "npg", "trpo", "surrogate", "penalty", "clip", "spo"]
CHECKPOINT_EVERY_PATTERN = r"end|[1-9]\d{0,14}|\d{1,9}(\.\d{1,9})?s"  # what ``checkpoint_every`` may be
MAX_TRANSITIONS = 2**31 - 1  # of a rollout
MAX_EPISODE_STEPS = 30_000  # of an evaluation: an episode still running after so many steps is given up
CUSTOM = "custom:"  # before the name of an algorithm that is not built in
Autoreset = Literal["auto", "next_step", "same_step", "disabled"]
NetworkName = Literal["auto", "mlp", "patch-cnn", "nature", "impala", "pong-small", "gru", "lstm", "mingru"]
_RUN_RANGES: dict[str, Rule] = {
    "steps": COUNT,
    "seeds": COUNT,
    "seed": SEED,
    "stop_at_return": Rule(-math.inf, optional=True),
    "env_groups": COUNT,
    "env_restarts": Rule(0, integer=True),
    "env_timeout": Rule(0, open_low=True),
    "eval_episodes": COUNT,
    "eval_every": Rule(1, integer=True, optional=True),
    "keep_checkpoints": COUNT,
    "video_every": Rule(1, integer=True, optional=True),
}


def is_custom(algo: object) -> bool:
    """Whether ``RunConfig.algo`` names an algorithm that is not built in."""
    return isinstance(algo, str) and algo.startswith(CUSTOM)


def kwargs_problem(env_kwargs: object) -> str:
    """What is wrong with ``RunConfig.env_kwargs``; "" if nothing is."""
    if not isinstance(env_kwargs, dict) or not all(isinstance(name, str) for name in env_kwargs):
        return f"env_kwargs = {shown(env_kwargs)}: must be a dict of arguments by name"
    for name, value in env_kwargs.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            return (
                f"env_kwargs = {shown(env_kwargs)}: {name} cannot be written to config.json; numbers, strings, "
                "booleans, None, lists and dicts can. For anything else give a callable: lambda: gymnasium.make(...)"
            )
    return ""


def custom_name(algorithm: str) -> str:
    """What ``RunConfig.algo`` is for a custom ``Algorithm`` of this name."""
    return CUSTOM + algorithm


def _nearest_divisors(batch: int, wanted: int) -> str:
    divisors = {d for i in range(1, math.isqrt(batch) + 1) if batch % i == 0 for d in (i, batch // i)}
    return ", ".join(str(d) for d in sorted(sorted(divisors, key=lambda d: abs(d - wanted))[:3]))


@dataclass(frozen=True)
class RunConfig:
    """A whole training run, complete and resolved: the content of ``config.json``."""

    env: str
    """Any Gymnasium id (CartPole-v1), package:Env-v0, package:Class, or an id with its source: gymnasium: envpool:
    gymnax: brax: playground: probe:"""
    env_kwargs: dict[str, Any] = field(default_factory=dict, hash=False)
    """Arguments of the environment's constructor, for an environment given by its id."""
    hide_velocities: bool = False
    """Whether velocities are left out of the observations, of environments whose velocities are known: a task for a
    network with memory."""
    show_previous: bool = False
    """Whether observations also have the previous action (one-hot where it is a choice) and reward, 0 where an episode
    opens."""
    init_from: str | None = None
    """Run directory, or file of `Agent.save`, to start from: parameters and observation normaliser. Its seeds' policies
    are taken in turn."""
    init_checkpoint: str = "last"
    """Which checkpoint of init_from: last, best, or a name in its checkpoints."""
    init_optimiser: bool = False
    """Whether to take Adam's moments from the run init_from too, instead of starting from zero."""
    algo: str = "clip"
    """Algorithm of the family from REINFORCE to PPO; in Python also a custom one, saved as ``custom:NAME``."""
    preset: str | None = None
    """A name from `proximax presets`, or a TOML or JSON file of settings, as `proximax tune` writes; by default the one
    tuned for the environment; "none" for the plain defaults."""
    like: LibraryName | None = None
    """Instead of a preset, the defaults of another library's PPO, to compare with it; a run says at its start what
    remains different."""
    steps: int = 1_000_000
    """Environment steps of each seed, rounded down to whole rollouts."""
    seeds: int = 1
    """S, number of seeds that train side by side."""
    seed: int = 0
    """The first seed; the others follow: seed, seed + 1, ..."""
    num_envs: int = 8
    """N, number of environments of each seed."""
    env_groups: int = 1
    """Groups of each seed's environments (double-buffered sampling): while one steps, the policy acts for the next. The
    same transitions in less time where the environments leave cores idle; divides num_envs."""
    shards: int = 1
    """V, equal parts of the environments and of every minibatch, which several devices or processes learn from as one
    policy. The result depends on V, and not on how many processes share the V parts; divides num_envs and
    ppo.minibatch_size."""
    checkpoint_every: str = "60s"
    """How often to save the whole run: seconds ("60s"), environment steps of each seed ("100000": after the first
    update at or beyond each multiple), or only at the "end"."""
    keep_checkpoints: int = 3
    """Number of newest checkpoints to keep, besides the best by evaluation."""
    eval_every: int | None = None
    """Evaluate after the first update at or beyond each multiple of this many steps of a seed, for evaluations.jsonl
    and the best checkpoint; None: only at the end."""
    stop_at_return: float | None = None
    """Stop early once the mean evaluation return of every seed reaches this; None: train all steps."""
    eval_episodes: int = 100
    """Episodes of each seed in an evaluation."""
    eval_stochastic: bool = False
    """Whether evaluations sample actions from the policy instead of taking the most likely action (the mode)."""
    video_every: int | None = None
    """A video of an evaluation episode after the first update at or beyond each multiple of this many steps of a seed,
    and at the end; None: no videos."""
    autoreset: Autoreset = "auto"
    """Autoreset mode, for vector environments that do not state theirs."""
    env_restarts: int = 0
    """How many times in the run a crashed environment is restarted, instead of ending the run."""
    env_timeout: float = 300.0
    """Seconds after which a call of an environment counts as crashed."""
    network: NetworkName = "auto"
    """mlp: an MLP with ppo.hidden units. patch-cnn, nature, impala, pong-small: convolutional. auto: patch-cnn for
    images, otherwise mlp. gru, lstm, mingru: with memory, a recurrent cell on top of what auto is."""
    atari: AtariConfig | None = None
    """Preprocessing of an Atari game; None for other environments."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """Settings of the algorithm."""

    def __post_init__(self) -> None:
        make_plain(self)

    @property
    def batch_size(self) -> int:
        """Transitions in a rollout of one seed: T x N."""
        return self.ppo.num_steps * self.num_envs

    @property
    def updates(self) -> int:
        """Number of rollouts, and so of updates, of the whole run."""
        return self.steps // self.batch_size

    @property
    def sequence_length(self) -> int:
        """L, steps of a sequence that a policy with memory learns from."""
        ppo = self.ppo
        minibatch_size = ppo.minibatch_size or self.batch_size
        return ppo.sequence_length or math.gcd(ppo.num_steps, minibatch_size // self.shards)

    def numbers(self) -> dict[str, float]:
        """What a compiled program takes as data: another value compiles nothing again."""
        return {**self.ppo.numbers(), "updates": self.updates}

    def check(self) -> None:
        """Raise one ``UsageError`` that names every wrong field."""
        problems = [range_problem(name, getattr(self, name), rule) for name, rule in _RUN_RANGES.items()]
        if not isinstance(self.env, str):
            problems.append(f"env = {self.env!r}: must be a string")
        problems.append(kwargs_problem(self.env_kwargs))
        problems.append(type_problem("init_from", self.init_from, (str, type(None)), "a run directory or None"))
        problems.append(type_problem("init_checkpoint", self.init_checkpoint, str, "last, best or a name"))
        if not isinstance(self.preset, str | None):
            problems.append(f"preset = {self.preset!r}: must be a string or None")
        if self.like is not None:
            problems.append(choice_problem("like", self.like, LibraryName))
        if not is_custom(self.algo):
            problems.append(choice_problem("algo", self.algo, AlgorithmName))
        every = self.checkpoint_every
        if not isinstance(every, str) or not re.fullmatch(CHECKPOINT_EVERY_PATTERN, every):
            problems.append(f"checkpoint_every = {every!r}: write 60s (seconds), 100000 (steps), or end")
        problems.append(choice_problem("autoreset", self.autoreset, Autoreset))
        problems.append(choice_problem("network", self.network, NetworkName))
        problems.append(bool_problem("eval_stochastic", self.eval_stochastic))
        names = ("init_optimiser", "hide_velocities", "show_previous")
        problems += [bool_problem(name, getattr(self, name)) for name in names]
        if self.init_optimiser is True and self.init_from is None:
            problems.append("init_optimiser = True: there is no run to take it from; set init_from")
        if isinstance(self.atari, AtariConfig):
            problems += self.atari.problems()
        elif self.atari is not None:
            problems.append(f"atari = {self.atari!r}: must be an AtariConfig or None")
        if problem := type_problem("ppo", self.ppo, PPOConfig, "a PPOConfig"):
            refuse([*problems, problem])
        counts = [range_problem(name, getattr(self, name), COUNT) for name in ("num_envs", "shards")]
        of_sizes = [*self.ppo.problems(), *counts]
        problems += of_sizes if any(of_sizes) else self._algorithm_problems() + self._size_problems()
        refuse(problems)

    def _algorithm_problems(self) -> list[str]:
        """Settings that do not fit the algorithm."""
        problems: list[str] = []
        if not isinstance(self.algo, str) or is_custom(self.algo):
            return problems
        if self.algo == "a2c" and self.ppo.epochs != 1:
            problems.append(
                f"epochs = {self.ppo.epochs}: a2c uses each rollout once; set epochs = 1, or algo = surrogate"
            )
        if self.ppo.kl_control == "beta" and self.algo != "penalty":
            problems.append(f"kl_control = beta: {self.algo} has no β; choose algo = penalty, or stop or learning_rate")
        for name in ("epsilon_high", "dual_clip") if self.algo != "clip" else ():
            if (value := getattr(self.ppo, name)) is not None:
                problems.append(f"{name} = {value}: {self.algo} does not clip the ratio; leave it out, or algo = clip")
        if self.ppo.value_epochs and self.algo in ("reinforce", "npg", "trpo"):
            problems.append(f"value_epochs = {self.ppo.value_epochs}: epochs are the critic's alone in {self.algo}")
        if self.algo == "a2c" and self.ppo.minibatch_size not in (None, self.batch_size):
            problems.append(f"minibatch_size = {self.ppo.minibatch_size}: a2c takes one step per rollout; set None")
        if self.ppo.target_kl is not None and self.algo in ("npg", "trpo"):
            problems.append(f"target_kl = {self.ppo.target_kl}: the KL of a {self.algo} step is bounded by max_kl")
        if self.ppo.target_kl is not None and self.algo in ("reinforce", "a2c") and self.ppo.kl_control == "stop":
            problems.append(
                f"target_kl = {self.ppo.target_kl}: {self.algo} takes one step, with nothing to stop; choose "
                "kl_control = learning_rate"
            )
        return problems

    def _size_problems(self) -> list[str]:
        """Sizes that do not fit each other."""
        problems: list[str] = []
        batch, minibatch = self.batch_size, self.ppo.minibatch_size or self.batch_size
        sizes = f"num_steps x num_envs = {self.ppo.num_steps} x {self.num_envs} = {batch}"
        if batch > MAX_TRANSITIONS:
            return [
                f"{sizes} transitions are more than 32 bits can number; at most {MAX_TRANSITIONS} fit. "
                "Lower num_steps or num_envs"
            ]
        if batch % minibatch:
            nearest = _nearest_divisors(batch, minibatch)
            problems.append(
                f"minibatch_size = {minibatch} does not divide the rollout of {sizes} transitions; nearest that do: "
                f"{nearest}"
            )
        for name, number in ("num_envs", self.num_envs), ("minibatch_size", minibatch):
            if number % self.shards:
                problems.append(f"shards = {self.shards}: must divide {name} = {number}")
        length, part = self.ppo.sequence_length, minibatch // self.shards
        if length is not None and (self.ppo.num_steps % length or part % length):
            of_a_shard = f" / shards = {part}" if self.shards > 1 else f" = {minibatch}"
            problems.append(
                f"sequence_length = {length}: must divide num_steps = {self.ppo.num_steps} and minibatch_size"
                f"{of_a_shard}; the largest that does: {math.gcd(self.ppo.num_steps, part)}"
            )
        if self.ppo.burn_in > self.ppo.num_steps:
            problems.append(f"burn_in = {self.ppo.burn_in}: must be at most num_steps = {self.ppo.num_steps}")
        if COUNT.allows(self.steps) and self.steps < batch:
            problems.append(
                f"steps = {self.steps} is less than one rollout; the least that works is {batch} (num_steps x num_envs)"
            )
        return problems

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
