"""Settings of the algorithms: one frozen record, one documented field per setting."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from proximax.config.validation import COUNT, Rule, bool_problem, choice_problem, make_plain, range_problem, shown

Annealed = Literal["learning_rate", "epsilon", "entropy_coef"]
Activation = Literal["tanh", "relu", "elu", "silu"]
AdvantageEstimator = Literal["total", "to-go", "gae"]
KLControl = Literal["stop", "learning_rate", "beta"]
BoxDistribution = Literal["gaussian", "squashed_gaussian", "beta", "binned", "ordinal"]
ValueClip = Literal["maximum", "alone"]


# Settings that a compiled program takes as data, not as constants. So are learning_rate and beta, which adapt.
NUMBERS = (
    *("anneal_start", "anneal_end", "gamma", "lam", "epsilon", "max_kl", "damping", "value_epsilon", "value_coef"),
    *("entropy_coef", "max_grad_norm", "target_kl", "adam_epsilon", "reward_clip", "epsilon_high", "dual_clip"),
    *("kl_band", "learning_rate_min", "learning_rate_max"),
)


@dataclass(frozen=True)
class PPOConfig:
    """How PPO and related algorithms learn. In brackets: the algorithms that read a setting; none: all of them.

    A default without a source is from Huang et al. 2022, "The 37 implementation details of PPO".
    """

    num_steps: int = 256
    """T, steps of each environment per rollout. 2048 transitions of 8 environments, as in arXiv 1707.06347, table 3."""
    minibatch_size: int | None = 64
    """Transitions per gradient step (of the critic alone for reinforce, npg, trpo); divides num_steps x num_envs.
    None: the whole rollout. Source: arXiv 1707.06347, table 3."""
    epochs: int = 10
    """K, passes over each rollout (of the critic alone for reinforce, npg, trpo). Source: arXiv 1707.06347, table 3."""
    value_epochs: int = 0
    """Passes over each rollout for the critic alone, after epochs for both, with an Adam of its own (a2c, surrogate,
    penalty, clip, spo). What the policy depends on stays: a shared torso too. Source: arXiv 2009.04416, which finds
    that values bear more of them than policies do."""
    learning_rate: float = 3e-4
    """Adam's step size; for npg and trpo the critic's. Source: arXiv 1707.06347, table 3."""
    anneal: tuple[Annealed, ...] = ("learning_rate",)
    """Which settings are annealed linearly, from their value to anneal_end times that: learning_rate, epsilon,
    entropy_coef, or none.
    Factor anneal_end + (1 - anneal_end) min(1, (1 - update / updates) / (1 - anneal_start))."""
    anneal_start: float = 0.0
    """Fraction of the updates during which it is constant; 0: it is annealed from the start."""
    anneal_end: float = 0.0
    """The factor's end, which is reached one update after the last."""
    anneal_reaches_end: bool = False
    """Whether the last update has the factor's end already, and the first a step towards it (Stable-Baselines3)."""
    gamma: float = 0.99
    """γ, discount per step. Source: arXiv 1707.06347, table 3."""
    lam: float = 0.95
    """λ of GAE (elsewhere gae_lambda). Source: arXiv 1707.06347, table 3."""
    advantage: AdvantageEstimator = "gae"
    """Return estimator that weights the policy gradient: the total return, the return to go, or the GAE advantage."""
    baseline: bool = True
    """Subtract V(s) as a baseline from the total return or the return to go; GAE always does."""
    epsilon: float = 0.2
    """ε, half-width of the ratio's band (clip, spo; elsewhere clip_range). Source: arXiv 1707.06347, section 6.1."""
    epsilon_high: float | None = None
    """Half-width above 1, where it is not that below ("clip-higher"); None: epsilon. Annealed as epsilon is (clip).
    Source: arXiv 2503.14476, section 3.1: 0.28 beside 0.2."""
    dual_clip: float | None = None
    """c > 1: a bad action that became c times as probable is no longer learned from; None: it always is (clip).
    Source: arXiv 1912.09729: 3."""
    beta: float = 1.0
    """β, initial weight of KL(old, new) (penalty). Source: arXiv 1707.06347, section 6.1."""
    max_kl: float = 0.01
    """δ, largest mean KL(old, new) of a step (npg, trpo). Source: arXiv 1502.05477, section 8."""
    damping: float = 0.1
    """Added to the diagonal of the Fisher matrix (npg, trpo). Source: OpenAI Baselines, TRPO."""
    conjugate_gradient_steps: int = 10
    """Fisher-vector products per step (npg, trpo). Source: arXiv 1502.05477, appendix C."""
    line_search_steps: int = 10
    """How many times the line search halves the step before giving up (trpo)."""
    value_epsilon: float | None = None
    """Half-width of the value clip, in units of scaled returns; None: not clipped (arXiv 2006.05990 finds no gain)."""
    value_clip: ValueClip = "maximum"
    """With value_epsilon, what is minimised: the larger of the clipped and the plain loss, or the clipped one alone
    (Stable-Baselines3)."""
    value_coef: float = 0.5
    """Weight of the value loss, where actor and critic take one step together (a2c, surrogate, penalty, clip)."""
    entropy_coef: float = 0.0
    """Weight of the entropy bonus. 0 for continuous control; 0.01 is common for discrete actions."""
    max_grad_norm: float | None = 0.5
    """Joint global norm of all gradients is clipped to this; None: not clipped."""
    target_kl: float | None = None
    """Target of KL(old, new) per update; None disables KL control (Spinning Up uses 0.01)."""
    kl_control: KLControl = "stop"
    """How target_kl is enforced: stop the update once a minibatch's KL exceeds 1.5 target_kl, adapt the learning rate,
    or adapt β."""
    kl_band: float | None = None
    """An adapted learning rate is lowered where the KL reaches kl_band x target_kl, and raised where it falls to
    target_kl / kl_band; None: 2 (arXiv 2109.11978)."""
    learning_rate_min: float | None = None
    """An adapted learning rate is not lowered below this; None: 1e-6."""
    learning_rate_max: float | None = None
    """An adapted learning rate is not raised above this; None: 1e-2 (arXiv 2109.11978)."""
    normalise_obs: bool = True
    """Normalise observations by running mean and variance, clipped to ±10; not images nor discrete observations."""
    normalise_pixels: bool = False
    """Normalise images by running mean and variance of each pixel, clipped to ±10. Source: rl_games, Atari settings."""
    scale_reward: bool = True
    """Divide rewards by the running standard deviation of the discounted return."""
    reward_clip: float | None = None
    """Rewards that scale_reward has scaled are clipped to ± this; None: not clipped (VecNormalize and CleanRL: 10)."""
    normalise_values: bool = False
    """The critic learns values less the running mean of their targets, over their standard deviation; whatever reads a
    value gets it as it is. Source: arXiv 2006.05990, section 3.3.
    With scale_reward = False for rewards that nothing scales."""
    standardise_advantage: bool = True
    """Standardise advantages (or returns) to mean 0 and standard deviation 1 in each minibatch; all equal: 0."""
    bessel_correction: bool = False
    """Standardise by the standard deviation with n - 1 instead of n, as whatever uses PyTorch's `std`."""
    standardise_across_envs: bool = False
    """Standardise the advantages (or returns) of each time step over the environments."""
    recompute_advantage: bool = False
    """Recompute values and advantages before every epoch, with the current critic (surrogate, penalty, clip).
    Source: arXiv 2006.05990, section 3.5."""
    box_distribution: BoxDistribution = "gaussian"
    """Distribution of Box actions. A Gaussian is clipped to the bounds; the others lie within them. binned: one of bins
    values for each dimension; ordinal: the same, by logits that know their order (arXiv 1901.10500)."""
    bins: int = 11
    """K, evenly spaced values of each dimension, its bounds included (binned, ordinal). Source: arXiv 1901.10500."""
    log_std_init: float = 0.0
    """Initial log σ of Gaussian policies, in units where a bounded action space is [-1, 1]."""
    state_dependent_std: bool = False
    """log σ is an output of the network instead of a separate parameter."""
    adam_epsilon: float = 1e-5
    """Adam's ε; frameworks default to 1e-8 or 1e-7."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of each hidden layer of the built-in network."""
    activation: Activation = "tanh"
    """Activation function of the built-in network."""
    layer_norm: bool = False
    """Layer norm before each activation function of the built-in network, for MLPs and below a memory.
    Source: arXiv 1607.06450."""
    shared_torso: bool = False
    """One torso for actor and critic instead of two. Separate ones win on continuous control (arXiv 2006.05990)."""
    recurrent_units: int = 64
    """Units of each recurrent cell (networks gru, lstm, mingru)."""
    recurrent_layers: int = 1
    """How many recurrent cells are on top of each other."""
    sequence_length: int | None = None
    """Steps of a sequence to learn from, with networks that have memory: gradients go back as far; divides num_steps
    and minibatch_size. None: the largest number that does."""
    refresh_carry: bool = False
    """Recompute the memory at the start of each sequence before each epoch, instead of taking that of acting."""
    burn_in: int = 0
    """Steps before each sequence from which its memory is recomputed, with the current parameters and without
    gradient, in each gradient step (Kapturowski et al. 2019, R2D2); those of the same rollout. At most num_steps."""
    branch_torsos: bool = False
    """One torso per entry of a nested observation, instead of one for the concatenated entries."""

    def __post_init__(self) -> None:
        make_plain(self)
        object.__setattr__(self, "anneal", annealed(self.anneal))

    def numbers(self) -> dict[str, float]:
        """The settings of ``NUMBERS`` that are not None."""
        return {name: getattr(self, name) for name in NUMBERS if getattr(self, name) is not None}

    def with_numbers(self, numbers: Mapping[str, Any]) -> "PPOConfig":
        """These settings with other ``NUMBERS``, which may be arrays inside a compiled program."""
        return replace(self, **{name: x for name, x in numbers.items() if name in NUMBERS})

    def problems(self) -> list[str]:
        """What is wrong with each of these settings by itself, a sentence each."""
        problems = [range_problem(name, getattr(self, name), rule) for name, rule in _RANGES.items()]
        if callable(self.learning_rate) or callable(self.epsilon):  # a schedule, as Stable-Baselines3 takes it
            problems.append("a schedule is anneal=..., or callbacks=[proximax.Schedule(learning_rate=function)]")
        problems += [bool_problem(f.name, getattr(self, f.name)) for f in fields(self) if f.type is bool]
        if not isinstance(self.hidden, (tuple, list)) or not self.hidden or not all(map(COUNT.allows, self.hidden)):
            problems.append(f"hidden = {self.hidden}: give one or more layer sizes of at least 1")
        problems += [choice_problem(name, getattr(self, name), choices) for name, choices in _CHOICES.items()]
        if not isinstance(self.anneal, tuple) or any(choice_problem("", name, Annealed) for name in self.anneal):
            names = ", ".join(get_args(Annealed))
            problems.append(f"anneal = {shown(self.anneal)}: must be none, or one or more of {names}")
        if self.advantage == "gae" and not self.baseline:
            problems.append("baseline = False: advantage = gae always subtracts V(s); choose total or to-go")
        if self.target_kl is None or self.kl_control != "learning_rate":
            given = {name: getattr(self, name) for name in ("kl_band", "learning_rate_min", "learning_rate_max")}
            needs = "needs target_kl and kl_control = learning_rate"
            problems += [f"{name} = {value}: {needs}" for name, value in given.items() if value is not None]
        return [problem for problem in problems if problem]


def annealed(value: object) -> Any:
    """``anneal`` as a tuple: also from one name, "none", "both" (learning_rate and epsilon), and a list, as in JSON."""
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, (list, tuple)):
        return value
    names = tuple(value)
    if names == ("none",):
        return ()
    return ("learning_rate", "epsilon") if names == ("both",) else names


_RANGES: dict[str, Rule] = {
    "num_steps": Rule(1, integer=True),
    "minibatch_size": Rule(1, integer=True, optional=True),
    "epochs": Rule(1, integer=True),
    "value_epochs": Rule(0, integer=True),
    "learning_rate": Rule(0, open_low=True),
    "learning_rate_min": Rule(0, open_low=True, optional=True),
    "learning_rate_max": Rule(0, open_low=True, optional=True),
    "kl_band": Rule(1, open_low=True, optional=True),
    "anneal_start": Rule(0, 0.99),
    "anneal_end": Rule(0),
    "gamma": Rule(0, 1),
    "lam": Rule(0, 1),
    "epsilon": Rule(0, open_low=True),
    "epsilon_high": Rule(0, open_low=True, optional=True),
    "dual_clip": Rule(1, open_low=True, optional=True),
    "beta": Rule(0, open_low=True),
    "max_kl": Rule(0, open_low=True),
    "damping": Rule(0),
    "conjugate_gradient_steps": Rule(1, integer=True),
    "line_search_steps": Rule(0, 60, integer=True),
    "value_epsilon": Rule(0, open_low=True, optional=True),
    "value_coef": Rule(0),
    "entropy_coef": Rule(0),
    "max_grad_norm": Rule(0, open_low=True, optional=True),
    "reward_clip": Rule(0, open_low=True, optional=True),
    "target_kl": Rule(0, open_low=True, optional=True),
    "bins": Rule(2, 1001, integer=True),
    "log_std_init": Rule(-10, 2),
    "recurrent_units": COUNT,
    "recurrent_layers": Rule(1, 64, integer=True),
    "sequence_length": Rule(1, integer=True, optional=True),
    "burn_in": Rule(0, integer=True),
    "adam_epsilon": Rule(0, open_low=True),
}
_CHOICES = {
    "activation": Activation,
    "advantage": AdvantageEstimator,
    "kl_control": KLControl,
    "box_distribution": BoxDistribution,
    "value_clip": ValueClip,
}
