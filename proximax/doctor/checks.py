"""The checks of ``proximax.doctor.diagnosis``: pure functions of one seed's rows and the run's settings.

Each returns the evidence as a message, or None. A metric that was not logged is NaN, for which no comparison holds. No
check may report anything at any moment of a healthy run, since they also watch runs that are still training.
"""

import numpy as np

from proximax.config import RunConfig

# Thresholds. In brackets: what healthy runs of the presets reach over all their updates.
RATIO_ERROR = 1e-3  # of the first ratio: rounding alone is 1e-5 in float32 and some 1e-4 with a GPU's TF32 (1e-6)
KL_SPIKE = 0.5  # nats in one update, at which a choice of two has gone from even odds to 1:13 (0.05)
KL_SPIKES = 0.02  # share of updates with such a KL, and two at least: one may be an accident of the start
KL_JUMP = 2.0  # nats, of which even a single update is no accident
MAX_CLIPPED = 0.6  # median share of transitions outside the clip band, which then have no gradient (0.2)
# With a KL below MIN_KL in the same update: the policy hardly moves (0.01 and 1e-3 at the median).
MIN_CLIPPED, MIN_KL = 1e-3, 1e-5
KL_MOVED = 1e-2  # summed over the first updates: the policy changed, and then stopped
MIN_ENTROPY = 0.05  # of the largest entropy: 0.03 nats of ln 2 are odds of 1:200 (0.08, at a returned gain)
MIN_STD = 0.02  # of half an action's range: no exploration (0.17)
MAX_STD = 3.0  # of half an action's range, and as many times the first σ: nearly every action is at a bound (1.0)
START, GAIN = 3, 0.1  # of the size of the first three returns, that a policy which stopped exploring must have gained
VALUE_ERROR = 0.05  # of the usual value loss: below, targets hardly differ and their explained variance is noise
LONG, LONG_UPDATES = 0.2, 20  # "for long": a fifth of the planned updates, and 20 at least
MOSTLY = 0.9  # of the updates that are checked
HUGE_VALUE_LOSS = 1e4  # of unscaled rewards: values are off by a hundred and more; Adam moves weights by 1e-3 (24)
MAX_OBS, MIN_OBS = 30.0, 0.01  # mean size of raw inputs: tanh units are flat from 3, weights start near 1 (1.5; 0.2)
GRADIENT_EXCESS = 1e3  # times max_grad_norm, at the median: clipping a few times is normal (37)
RATE_FLOOR = 1e-6  # where an adaptive learning rate is held (maths.adapt_learning_rate)
SATURATED = 0.95  # share of bounded action numbers at a bound, for long (0.73)
MAX_MEMORY = 1e3  # |carry|: gru and mingru hold 1, lstm one more with each step at most, and tanh is flat from 10
MIN_MEMORY_KL = 1e-5  # nats for another memory: too little to see in any action (2.5, once something is learned)
ENDLESS = 10_000  # steps of every environment without an end: an Atari game or a MuJoCo episode takes 1,000
SAME_EPISODES, SAME_UPDATES = 20, 5  # of equal length or return, before that is taken to be no coincidence
MIN_FIXED_LENGTH = 10  # steps: shorter episodes are bandits and the like, of fixed length by design
FEW_STEPS = 0.1  # share of the planned gradient steps, at the median
Rows = dict[str, np.ndarray]  # a column per metric, in the order of updates; at least one row, with update and steps


def column(rows: Rows, name: str) -> np.ndarray:
    """A metric's values; NaN where it was not logged."""
    return rows[name] if name in rows else np.full(len(rows["update"]), np.nan)


def recent(rows: Rows, config: RunConfig) -> np.ndarray | None:
    """A mask of the rows of the latest ``LONG`` of the run; None for a run that is not as old yet."""
    length = max(LONG_UPDATES, LONG * config.updates)
    update = rows["update"]
    return update > update[-1] - length if update[-1] >= length else None


def describe_updates(rows: Rows, flagged: np.ndarray) -> str:
    """``in 3 of 40 updates, from 2 to 39``."""
    updates = rows["update"][flagged].astype(int)
    span = f"update {updates[0]}" if len(updates) == 1 else f"from {updates[0]} to {updates[-1]}"
    return f"in {len(updates)} of {len(flagged)} updates, {span}"


def for_long(rows: Rows, config: RunConfig, flagged: np.ndarray) -> str | None:
    """How often the condition ``flagged`` held, if it has held for long and still does; else None."""
    late = recent(rows, config)
    if late is None or flagged[late].mean() < MOSTLY:
        return None
    return describe_updates(rows, flagged & late) + f", of the latest {int(late.sum())}"


def median(x: np.ndarray) -> float:
    """Median of what was logged; NaN if nothing was."""
    kept = x[np.isfinite(x)]
    return float(np.median(kept)) if len(kept) else np.nan


def not_finite(rows: Rows, config: RunConfig) -> str | None:
    """An update with a loss, gradient or normaliser that is not finite."""
    flagged = column(rows, "finite") == 0
    return f"update {rows['update'][flagged][0]:.0f}, after which nothing was learned" if flagged.any() else None


def ratio_not_one(rows: Rows, config: RunConfig) -> str | None:
    """The first minibatch's policy differs from the policy that acted."""
    error = column(rows, "first_ratio_error")
    flagged = error > RATIO_ERROR
    return f"|r - 1| up to {error[flagged].max():.2g}, {describe_updates(rows, flagged)}" if flagged.any() else None


def kl_spikes(rows: Rows, config: RunConfig) -> str | None:
    """Updates that move the policy too far."""
    # An infinite KL is null in the file; it is always logged.
    kl = np.where(np.isnan(rows["kl"]), np.inf, rows["kl"]) if "kl" in rows else column(rows, "kl")
    flagged = (kl > KL_SPIKE) & (column(rows, "finite") == 1)
    if not (flagged & (kl > KL_JUMP)).any() and flagged.sum() < max(2.0, KL_SPIKES * len(kl)):
        return None
    return (
        f"KL above {KL_SPIKE} {describe_updates(rows, flagged)}, up to {kl[flagged].max():.2g}; learning rate "
        f"{config.ppo.learning_rate:g}, {config.ppo.epochs} epochs"
    )


def too_much_clipped(rows: Rows, config: RunConfig) -> str | None:
    """Most transitions are outside the clip band."""
    share = column(rows, "clip_fraction")
    if config.algo != "clip" or len(share) < SAME_UPDATES or not median(share) > MAX_CLIPPED:
        return None
    return f"clip fraction {median(share):.2f} at the median, ε = {config.ppo.epsilon:g}"


def hardly_moves(rows: Rows, config: RunConfig) -> str | None:
    """A policy that does not change from the start."""
    kl, share = column(rows, "kl"), column(rows, "clip_fraction")
    # Only the first updates: annealed steps get small anyway, and a policy that has learned may stop changing.
    flagged = (np.abs(kl) < MIN_KL) & (share < MIN_CLIPPED)
    begin = rows["update"] <= max(LONG * config.updates, LONG_UPDATES)
    if begin.all() or not begin.any() or not flagged[begin].mean() >= MOSTLY or np.nansum(kl[begin]) > KL_MOVED:
        return None
    rate = config.ppo.learning_rate
    return f"KL below {MIN_KL:g} and nothing clipped {describe_updates(rows, flagged)}; learning rate {rate:g}"


def gained(rows: Rows, since: int) -> bool:
    """Whether returns after row ``since`` are better than those of the start."""
    returns = column(rows, "episode_return")
    before = median(returns[np.isfinite(returns)][:START])
    after = median(returns[since + 1 :])
    return bool(after > before + GAIN * abs(before))


def collapse(rows: Rows, config: RunConfig) -> str | None:
    """Entropy, or σ of a Gaussian, gone before anything was gained."""
    entropy, std = column(rows, "entropy"), column(rows, "action_std")
    gaussian = bool(np.isfinite(std).any())
    name, x = ("σ", std) if gaussian else ("entropy", entropy)
    highest = float(np.nanmax(x)) if np.isfinite(x).any() else np.nan
    low = x < (MIN_STD if gaussian else MIN_ENTROPY * max(highest, 0.0))
    since = int(np.argmax(low))
    if len(low) < since + 1 + SAME_UPDATES or not low[since:].mean() >= MOSTLY or gained(rows, since):
        return None
    return (
        f"{name} from {highest:.2g} to {x[-1]:.2g}, low since update {rows['update'][since]:.0f}; returns did not rise"
    )


def std_blow_up(rows: Rows, config: RunConfig) -> str | None:
    """A σ that has grown until actions are noise."""
    std = column(rows, "action_std")
    flagged = (std > MAX_STD) & (std > MAX_STD * std[0])
    return (
        f"σ from {std[0]:.2g} to {std[flagged].max():.2g}, {describe_updates(rows, flagged)}" if flagged.any() else None
    )


def values_explain_nothing(rows: Rows, config: RunConfig) -> str | None:
    """A critic worse than a constant, where returns differ."""
    explained, loss = column(rows, "explained_variance"), column(rows, "value_loss")
    usual = np.nanquantile(loss, 0.9) if np.isfinite(loss).any() else np.nan
    # Every critic begins like that.
    old = rows["update"] > LONG_UPDATES
    held = for_long(rows, config, old & (explained < 0) & (loss > VALUE_ERROR * usual))
    return f"explained variance below 0, median {median(explained):.2g}, {held}" if held else None


def rewards_huge(rows: Rows, config: RunConfig) -> str | None:
    """Values too large for the critic's step size."""
    loss = median(column(rows, "value_loss"))
    if config.ppo.scale_reward or not loss > HUGE_VALUE_LOSS:
        return None
    return f"value loss {loss:.2g} at the median: values are off by some {np.sqrt(2 * loss):.2g}"


def obs_not_normalised(rows: Rows, config: RunConfig) -> str | None:
    """Raw observations of a scale that saturates or starves the network."""
    scale = median(column(rows, "obs_abs_max_mean"))
    if config.ppo.normalise_obs or not (scale > MAX_OBS or scale < MIN_OBS):
        return None
    return f"the largest entry of the observations has a mean size of {scale:.2g}; it should be near 1"


def gradients_clipped(rows: Rows, config: RunConfig) -> str | None:
    """Gradients clipped to a thousandth and less."""
    limit, norm = config.ppo.max_grad_norm, median(column(rows, "global_grad_norm"))
    if limit is None or len(rows["update"]) < SAME_UPDATES or not norm > GRADIENT_EXCESS * limit:
        return None
    return f"gradient norm {norm:.2g} at the median, {norm / limit:.2g} times what it is clipped to, {limit:g}"


def rate_at_floor(rows: Rows, config: RunConfig) -> str | None:
    """A learning rate too low to learn anything."""
    factor = np.ones(len(rows["update"]))
    if "learning_rate" in config.ppo.anneal:  # as ``update.scheduled_values``
        left = 1.0 - (rows["update"] - (0.0 if config.ppo.anneal_reaches_end else 1.0)) / config.updates
        end = config.ppo.anneal_end
        factor = end + (1.0 - end) * np.minimum(1.0, left / (1.0 - config.ppo.anneal_start))
    rate = column(rows, "learning_rate") / np.maximum(factor, 1e-12)
    held = for_long(rows, config, rate <= 1.01 * (config.ppo.learning_rate_min or RATE_FLOOR))
    return f"learning rate {rate[-1]:.2g} before annealing, {held}" if held else None


def actions_saturated(rows: Rows, config: RunConfig) -> str | None:
    """Actions that are nearly all at a bound."""
    share = column(rows, "actions_at_bounds")
    held = for_long(rows, config, share > SATURATED)
    return f"{share[-1]:.1%} of the action's numbers at a bound, {held}" if held else None


def memory_explodes(rows: Rows, config: RunConfig) -> str | None:
    """A memory that grows from step to step."""
    size = column(rows, "memory_abs_max")
    flagged = size > MAX_MEMORY
    return f"numbers up to {size[flagged].max():.2g}, {describe_updates(rows, flagged)}" if flagged.any() else None


def memory_unused(rows: Rows, config: RunConfig) -> str | None:
    """A policy that acts as if it had no memory."""
    kl = column(rows, "memory_kl")
    held = for_long(rows, config, np.abs(kl) < MIN_MEMORY_KL)
    return f"the memory of another step changes it by a KL of {kl[-1]:.2g}, {held}" if held else None


def never_ends(rows: Rows, config: RunConfig) -> str | None:
    """Environments whose episodes never end."""
    steps = rows["steps"][-1] / config.num_envs
    if np.isfinite(column(rows, "return_last_100")).any() or steps < ENDLESS:
        return None
    return f"no episode ended in {steps:,.0f} steps of each of {config.num_envs} environments"


def same_every_time(rows: Rows, name: str) -> float | None:
    """The one value that a metric of ended episodes had in every update; None where it differed or there were few."""
    episodes, x = column(rows, "episodes"), column(rows, name)
    kept = x[np.isfinite(x) & (episodes > 0)]
    if len(kept) < SAME_UPDATES or episodes.sum() < SAME_EPISODES or np.ptp(kept) > 1e-6 * abs(kept[0]):
        return None
    return float(kept[0])


def time_limit_as_end(rows: Rows, config: RunConfig) -> str | None:
    """Episodes that all have one length and are never truncated."""
    late = recent(rows, config)
    if late is None or not (column(rows, "truncations") == 0).all():
        return None
    length = same_every_time({name: x[late] for name, x in rows.items()}, "episode_length")
    if length is None or length < MIN_FIXED_LENGTH or length % 1:
        return None
    count = column(rows, "episodes")[late].sum()
    return f"the latest {count:.0f} episodes all took {length:.0f} steps, and no episode was ever truncated"


def no_signal(rows: Rows, config: RunConfig) -> str | None:
    """Returns, or advantages, that never differed."""
    spread = column(rows, "advantage_std")
    if len(spread) >= SAME_UPDATES and (spread == 0).all():
        return f"all advantages equal in all {len(spread)} updates"
    same, episodes = same_every_time(rows, "episode_return"), column(rows, "episodes").sum()
    return None if same is None else f"all {episodes:.0f} episodes since the start returned {same:g}"


def stopped_at_once(rows: Rows, config: RunConfig) -> str | None:
    """Updates that the KL limit stops after their first steps."""
    ppo = config.ppo
    if ppo.target_kl is None or ppo.kl_control != "stop" or len(rows["update"]) < SAME_UPDATES:
        return None
    planned = ppo.epochs * config.batch_size / (ppo.minibatch_size or config.batch_size)
    taken = median(column(rows, "gradient_steps"))
    return f"{taken:.0f} of {planned:.0f} gradient steps taken at the median" if taken < FEW_STEPS * planned else None


def line_search_fails(rows: Rows, config: RunConfig) -> str | None:
    """A trust region in which no step improves the objective."""
    flagged = column(rows, "line_search_fraction") == 0
    return describe_updates(rows, flagged) if len(flagged) >= SAME_UPDATES and flagged.mean() > 0.5 else None
