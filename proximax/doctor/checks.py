"""What ``proximax.doctor.diagnosis`` looks for: pure functions of one seed's rows and the run's settings.

Each returns the evidence in words, or None. A metric that was not logged is NaN, for which no comparison holds. None of
them may speak at any moment of a healthy run, since they also watch runs that go on.
"""

import numpy as np

from proximax.config import RunConfig

# Thresholds. What healthy runs of the presets reach, over all their updates, stands in brackets.
RATIO_ERROR = 1e-3  # of the first ratio: rounding alone is 1e-5 in float32 and some 1e-4 with a GPU's TF32 (1e-6)
KL_SPIKE = 0.5  # nats in one update, at which a choice of two has gone from even odds to 1:13 (0.05)
KL_SPIKES = 0.02  # share of updates with such a KL, and two at least: one may be an accident of the start
KL_JUMP = 2.0  # nats, of which even a single update is no accident
CLIPPED_MOST = 0.6  # median share of rows outside the clip band, which then have no gradient (0.2)
CLIPPED_LEAST = (
    1e-3  # with a KL below KL_LEAST in the same update: the policy hardly moves (0.01 and 1e-3 at the median)
)
KL_LEAST = 1e-5
KL_MOVED = 1e-2  # summed over the first updates: the policy went somewhere, and rests there
ENTROPY_LEFT = 0.05  # of the largest entropy: 0.03 nats of ln 2 are odds of 1:200 (0.08, at a returned gain)
STD_LEAST = 0.02  # of half an action's range: nothing new is tried (0.17)
STD_MOST = 3.0  # of half an action's range, and as many times the first σ: nearly every action is at a bound (1.0)
START, GAIN = 3, 0.1  # of the size of the first three returns, that a policy which stopped exploring must have gained
VALUE_ERROR = 0.05  # of the usual value loss: below, targets hardly differ and their explained variance is noise
LONG, LONG_UPDATES = 0.2, 20  # "for long": a fifth of the planned updates, and 20 at least
MOSTLY = 0.9  # of the updates that are looked at
HUGE_VALUE_LOSS = 1e4  # of unscaled rewards: values are off by a hundred and more; Adam moves weights by 1e-3 (24)
OBS_MOST, OBS_LEAST = 30.0, 0.01  # mean size of raw inputs: tanh units are flat from 3, weights start near 1 (1.5; 0.2)
GRADIENT_EXCESS = 1e3  # times max_grad_norm, at the median: clipping a few times is normal (37)
RATE_FLOOR = 1e-6  # where an adaptive learning rate is held (maths.adapt_learning_rate)
SATURATED = 0.95  # share of bounded action numbers at a bound, for long (0.73)
ENDLESS = 10_000  # steps of every environment without an end: an Atari game or a MuJoCo episode takes 1,000
SAME_EPISODES, SAME_UPDATES = 20, 5  # of equal length or return, before that is said to be no chance
FIXED_LENGTH = 10  # steps: episodes of fewer are bandits and the like, whose length is their nature
FEW_STEPS = 0.1  # share of the planned gradient steps, at the median
Rows = dict[str, np.ndarray]  # a column per metric, in the order of updates; at least one row, with update and steps


def column(rows: Rows, name: str) -> np.ndarray:
    """A metric's values; NaN where it was not logged."""
    return rows[name] if name in rows else np.full(len(rows["update"]), np.nan)


def recent(rows: Rows, config: RunConfig) -> np.ndarray | None:
    """Which rows are of the latest ``LONG``; None for a run that is not as old yet."""
    length = max(LONG_UPDATES, LONG * config.updates)
    update = rows["update"]
    return update > update[-1] - length if update[-1] >= length else None


def where(rows: Rows, found: np.ndarray) -> str:
    """``in 3 of 40 updates, from 2 to 39``."""
    updates = rows["update"][found].astype(int)
    span = f"update {updates[0]}" if len(updates) == 1 else f"from {updates[0]} to {updates[-1]}"
    return f"in {len(updates)} of {len(found)} updates, {span}"


def for_long(rows: Rows, config: RunConfig, found: np.ndarray) -> str | None:
    """Where ``found`` has held for long and still does: how often; else None."""
    late = recent(rows, config)
    if late is None or found[late].mean() < MOSTLY:
        return None
    return where(rows, found & late) + f", of the latest {int(late.sum())}"


def median(x: np.ndarray) -> float:
    """Of what was logged; NaN if nothing was."""
    kept = x[np.isfinite(x)]
    return float(np.median(kept)) if len(kept) else np.nan


def not_finite(rows: Rows, config: RunConfig) -> str | None:
    """An update with a loss, gradient or normaliser that is not finite."""
    found = column(rows, "finite") == 0
    return f"update {rows['update'][found][0]:.0f}, after which nothing was learned" if found.any() else None


def ratio_not_one(rows: Rows, config: RunConfig) -> str | None:
    """A first minibatch that already differs from the policy that acted."""
    error = column(rows, "first_ratio_error")
    found = error > RATIO_ERROR
    return f"|r - 1| up to {error[found].max():.2g}, {where(rows, found)}" if found.any() else None


def kl_spikes(rows: Rows, config: RunConfig) -> str | None:
    """Updates that throw the policy far away."""
    # An infinite KL is null in the file; it is always logged.
    kl = np.where(np.isnan(rows["kl"]), np.inf, rows["kl"]) if "kl" in rows else column(rows, "kl")
    found = (kl > KL_SPIKE) & (column(rows, "finite") == 1)
    if not (found & (kl > KL_JUMP)).any() and found.sum() < max(2.0, KL_SPIKES * len(kl)):
        return None
    return (
        f"KL above {KL_SPIKE} {where(rows, found)}, up to {kl[found].max():.2g}; learning rate "
        f"{config.ppo.learning_rate:g}, {config.ppo.epochs} epochs"
    )


def too_much_clipped(rows: Rows, config: RunConfig) -> str | None:
    """Most rows outside the clip band."""
    share = column(rows, "clip_fraction")
    if config.algo != "clip" or len(share) < SAME_UPDATES or not median(share) > CLIPPED_MOST:
        return None
    return f"clip fraction {median(share):.2f} at the median, ε = {config.ppo.epsilon:g}"


def hardly_moves(rows: Rows, config: RunConfig) -> str | None:
    """A policy that stays where it is from the start."""
    kl, share = column(rows, "kl"), column(rows, "clip_fraction")
    # Only the first updates: annealed steps get small by themselves, and a policy that has learned may rest.
    found = (np.abs(kl) < KL_LEAST) & (share < CLIPPED_LEAST)
    begin = rows["update"] <= max(LONG * config.updates, LONG_UPDATES)
    if begin.all() or not found[begin].mean() >= MOSTLY or np.nansum(kl[begin]) > KL_MOVED:
        return None
    return f"KL below {KL_LEAST:g} and nothing clipped {where(rows, found)}; learning rate {config.ppo.learning_rate:g}"


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
    what, x = ("σ", std) if gaussian else ("entropy", entropy)
    most = float(np.nanmax(x)) if np.isfinite(x).any() else np.nan
    low = x < (STD_LEAST if gaussian else ENTROPY_LEFT * max(most, 0.0))
    since = int(np.argmax(low))
    if len(low) < since + 1 + SAME_UPDATES or not low[since:].mean() >= MOSTLY or gained(rows, since):
        return None
    return f"{what} from {most:.2g} to {x[-1]:.2g}, low since update {rows['update'][since]:.0f}; returns did not rise"


def std_blow_up(rows: Rows, config: RunConfig) -> str | None:
    """A σ that has grown until actions are noise."""
    std = column(rows, "action_std")
    found = (std > STD_MOST) & (std > STD_MOST * std[0])
    return f"σ from {std[0]:.2g} to {std[found].max():.2g}, {where(rows, found)}" if found.any() else None


def values_explain_nothing(rows: Rows, config: RunConfig) -> str | None:
    """A critic worse than a constant, where there is something to explain."""
    explained, loss = column(rows, "explained_variance"), column(rows, "value_loss")
    usual = np.nanquantile(loss, 0.9) if np.isfinite(loss).any() else np.nan
    # Every critic begins like that.
    old = rows["update"] > LONG_UPDATES
    held = for_long(rows, config, old & (explained < 0) & (loss > VALUE_ERROR * usual))
    return f"explained variance below 0, median {median(explained):.2g}, {held}" if held else None


def rewards_huge(rows: Rows, config: RunConfig) -> str | None:
    """Values too large for the critic's steps."""
    loss = median(column(rows, "value_loss"))
    if config.ppo.scale_reward or not loss > HUGE_VALUE_LOSS:
        return None
    return f"value loss {loss:.2g} at the median: values are off by some {np.sqrt(2 * loss):.2g}"


def obs_not_normalised(rows: Rows, config: RunConfig) -> str | None:
    """Raw observations of a scale no network likes."""
    scale = median(column(rows, "obs_abs_max_mean"))
    if config.ppo.normalise_obs or not (scale > OBS_MOST or scale < OBS_LEAST):
        return None
    return f"the largest entry of the observations has a mean size of {scale:.2g}; 1 is wanted"


def gradients_clipped(rows: Rows, config: RunConfig) -> str | None:
    """Gradients cut to a thousandth and less."""
    limit, norm = config.ppo.max_grad_norm, median(column(rows, "global_grad_norm"))
    if limit is None or len(rows["update"]) < SAME_UPDATES or not norm > GRADIENT_EXCESS * limit:
        return None
    return f"gradient norm {norm:.2g} at the median, {norm / limit:.2g} times what it is clipped to, {limit:g}"


def rate_at_floor(rows: Rows, config: RunConfig) -> str | None:
    """A learning rate that learns nothing."""
    factor = np.ones(len(rows["update"]))
    if config.ppo.anneal in ("learning_rate", "both"):  # as ``update.scheduled_values``
        left = 1.0 - (rows["update"] - 1.0) / config.updates
        factor = np.minimum(1.0, left / (1.0 - config.ppo.anneal_start))
    rate = column(rows, "learning_rate") / np.maximum(factor, 1e-12)
    held = for_long(rows, config, rate <= 1.01 * RATE_FLOOR)
    return f"learning rate {rate[-1]:.2g} before annealing, {held}" if held else None


def actions_saturated(rows: Rows, config: RunConfig) -> str | None:
    """Actions that are nearly all at a bound."""
    share = column(rows, "actions_at_bounds")
    held = for_long(rows, config, share > SATURATED)
    return f"{share[-1]:.1%} of the action's numbers at a bound, {held}" if held else None


def never_ends(rows: Rows, config: RunConfig) -> str | None:
    """Environments without an episode's end."""
    steps = rows["steps"][-1] / config.num_envs
    if np.isfinite(column(rows, "return_last_100")).any() or steps < ENDLESS:
        return None
    return f"no episode ended in {steps:,.0f} steps of each of {config.num_envs} environments"


def same_every_time(rows: Rows, name: str) -> float | None:
    """What a metric of ended episodes was in every update; None where it differed or there were few."""
    episodes, x = column(rows, "episodes"), column(rows, name)
    kept = x[np.isfinite(x) & (episodes > 0)]
    if len(kept) < SAME_UPDATES or episodes.sum() < SAME_EPISODES or np.ptp(kept) > 1e-6 * abs(kept[0]):
        return None
    return float(kept[0])


def time_limit_as_end(rows: Rows, config: RunConfig) -> str | None:
    """Episodes all of one length that nothing truncates."""
    late = recent(rows, config)
    if late is None or not (column(rows, "truncations") == 0).all():
        return None
    length = same_every_time({name: x[late] for name, x in rows.items()}, "episode_length")
    if length is None or length < FIXED_LENGTH or length % 1:
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
    """Updates that the KL stops nearly at their start."""
    ppo = config.ppo
    if ppo.target_kl is None or ppo.kl_control != "stop" or len(rows["update"]) < SAME_UPDATES:
        return None
    planned = ppo.epochs * config.batch_size / (ppo.minibatch_size or config.batch_size)
    taken = median(column(rows, "gradient_steps"))
    return f"{taken:.0f} of {planned:.0f} gradient steps taken at the median" if taken < FEW_STEPS * planned else None


def line_search_fails(rows: Rows, config: RunConfig) -> str | None:
    """A trust region in which no step improves."""
    found = column(rows, "line_search_fraction") == 0
    return where(rows, found) if len(found) >= SAME_UPDATES and found.mean() > 0.5 else None
