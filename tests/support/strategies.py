"""What hypothesis draws for several test modules: spaces, configurations, JSON."""

import math

import numpy as np
from gymnasium import spaces
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from proximax.config.atari_config import _RANGES as _ATARI_RANGES
from proximax.config.atari_config import AtariConfig
from proximax.config.ppo_config import _CHOICES, _RANGES, PPOConfig
from proximax.config.run_config import RunConfig

SHAPES = array_shapes(min_dims=0, max_dims=3, max_side=3)


@st.composite
def discretes(draw):
    dtype = draw(st.sampled_from([np.int64, np.int32]))
    return spaces.Discrete(draw(st.integers(1, 6)), start=draw(st.integers(-9, 9)), dtype=dtype)


@st.composite
def multi_discretes(draw):
    shape, dtype = draw(array_shapes(min_dims=1, max_dims=2, max_side=3)), draw(st.sampled_from([np.int64, np.int32]))
    nvec = draw(arrays(np.int64, shape, elements=st.integers(1, 5)))
    return spaces.MultiDiscrete(nvec, start=draw(arrays(np.int64, shape, elements=st.integers(-9, 9))), dtype=dtype)


@st.composite
def boxes(draw, dtypes=(np.float32, np.float64, np.uint8, np.int32, np.int64)):
    """Bounds may be infinite, on one side too, all alike or each its own."""
    dtype, shape = np.dtype(draw(st.sampled_from(dtypes))), draw(SHAPES)
    if dtype.kind == "f":
        numbers = st.floats(-1e6, 1e6, width=32) | st.sampled_from([-np.inf, np.inf, 0.1])
    else:
        info = np.iinfo(dtype)
        numbers = st.integers(int(info.min), int(info.max)) | st.sampled_from([int(info.min), int(info.max)])
    bounds = arrays(dtype, shape, elements=numbers) | numbers.map(lambda x: np.full(shape, x, dtype))
    pair = draw(bounds), draw(bounds)
    low, high = np.minimum(*pair), np.maximum(*pair)
    if dtype.kind == "f":  # a bound may be infinite on its own side only
        low, high = np.where(low == np.inf, dtype.type(0), low), np.where(high == -np.inf, dtype.type(0), high)
        high = np.maximum(low, high)
    return spaces.Box(low.astype(dtype), high.astype(dtype), dtype=dtype.type)


MULTI_BINARIES = (st.integers(1, 4) | array_shapes(max_dims=2, max_side=3).map(list)).map(spaces.MultiBinary)
OTHERS = discretes() | multi_discretes() | MULTI_BINARIES


def branches(parts):
    """Dicts, whose keys are any text in any order, and Tuples."""
    named = st.dictionaries(st.text(max_size=5), parts, min_size=1, max_size=3)
    return named.map(lambda each: spaces.Dict(list(each.items()))) | st.lists(parts, min_size=1, max_size=3).map(
        spaces.Tuple
    )


SPACES = st.recursive(OTHERS | boxes(), branches, max_leaves=5)


def sampled_within_bounds(box):
    """Whether Gymnasium's samples are: those of signed integers it keeps two away from the ends of their type."""
    if box.dtype.kind != "i":
        return True
    ends = np.iinfo(box.dtype)
    return bool((box.high >= ends.min + 2).all() and (box.low <= ends.max - 2).all())


# Gymnasium cannot sample all of int64.
SAMPLED_BOXES = boxes((np.float32, np.float64, np.uint8, np.int32)).filter(sampled_within_bounds)
SAMPLED = st.recursive(OTHERS | SAMPLED_BOXES, branches, max_leaves=5)


def numbers(rule):
    """What a ``Rule`` allows."""
    if rule.integer:
        found = st.integers(int(rule.low), int(min(rule.high, rule.low + 1000)))
    else:
        low, high = max(rule.low, -1e6), min(rule.high, 1e6)
        least = math.floor(low) + 1 if rule.open_low else math.ceil(low)
        found = st.floats(low, high, exclude_min=rule.open_low) | st.integers(least, math.floor(high))
    return st.none() | found if rule.optional else found


@st.composite
def atari_configs(draw):
    settings = {name: draw(numbers(rule)) for name, rule in _ATARI_RANGES.items()}
    settings |= {name: draw(st.booleans()) for name in ("grayscale", "fire_on_reset", "episodic_life", "clip_reward")}
    actions = st.lists(st.integers(0, 17), min_size=2, unique=True).map(tuple)
    both = settings["frame_skip"] > 1 and draw(st.booleans())
    return AtariConfig(**settings, max_of_two=both, actions=draw(st.none() | actions))


@st.composite
def run_configs(draw):
    """Any configuration that ``check`` lets pass."""
    ppo = {name: draw(numbers(rule)) for name, rule in _RANGES.items()}
    ppo |= {name: draw(st.sampled_from(choices.__args__)) for name, choices in _CHOICES.items()}
    flags = ("normalise_obs", "normalise_pixels", "scale_reward", "standardise_advantage", "standardise_across_envs")
    flags += ("recompute_advantage", "normalise_values", "state_dependent_std", "shared_torso", "branch_torsos")
    ppo |= {name: draw(st.booleans()) for name in flags}
    ppo["hidden"] = tuple(draw(st.lists(st.integers(1, 512), min_size=1, max_size=3)))
    ppo["baseline"] = ppo["advantage"] == "gae" or draw(st.booleans())
    algos = ["reinforce", "a2c", "npg", "trpo", "surrogate", "penalty", "clip", "spo", "custom:mine"]
    algo = draw(st.sampled_from(algos))
    num_envs = draw(st.integers(1, 64))
    batch = num_envs * ppo["num_steps"]
    divisors = [d for d in range(1, batch + 1) if batch % d == 0]
    ppo["minibatch_size"] = draw(st.none() | st.sampled_from(divisors))
    size = batch if algo == "a2c" else ppo["minibatch_size"] or batch
    shards = draw(st.sampled_from([d for d in range(1, num_envs + 1) if num_envs % d == size % d == 0]))
    longest = math.gcd(ppo["num_steps"], size // shards)
    ppo["burn_in"] = draw(st.integers(0, ppo["num_steps"]))
    ppo["sequence_length"] = draw(st.none() | st.just(longest) | st.just(1))
    if algo == "a2c":
        ppo |= {"epochs": 1, "minibatch_size": None}
    if ppo["kl_control"] == "beta" and not algo.startswith(("penalty", "own")):
        ppo["kl_control"] = "learning_rate"
    if algo in ("npg", "trpo", "reinforce", "a2c"):
        ppo["target_kl"] = None
    if ppo["target_kl"] is None or ppo["kl_control"] != "learning_rate":
        ppo |= {"kl_band": None, "learning_rate_min": None, "learning_rate_max": None}
    if algo in ("npg", "trpo", "reinforce"):
        ppo["value_epochs"] = 0
    if not algo.startswith(("clip", "custom")):
        ppo |= {"epsilon_high": None, "dual_clip": None}
    return RunConfig(
        env=draw(st.text(max_size=12)),
        algo=algo,
        preset=draw(st.none() | st.text(max_size=5)),
        steps=draw(st.integers(batch, 10**12)),
        seeds=draw(st.integers(1, 100)),
        seed=draw(st.integers(0, 2**63)),
        num_envs=num_envs,
        env_groups=draw(st.integers(1, 4)),
        shards=shards,
        stop_at_return=draw(st.none() | st.floats(-1e6, 1e6) | st.integers(-5, 5)),
        eval_episodes=draw(st.integers(1, 1000)),
        eval_stochastic=draw(st.booleans()),
        video_every=draw(st.none() | st.integers(1, 10**9)),
        autoreset=draw(st.sampled_from(["auto", "next_step", "same_step", "disabled"])),
        network=draw(st.sampled_from(["auto", "mlp", "patch-cnn", "nature", "impala", "pong-small"])),
        atari=draw(st.none() | atari_configs()),
        ppo=PPOConfig(**ppo),
    )


# Whatever may stand in a JSON file; Python reads NaN, Infinity and integers of any length too.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.sampled_from([2**31, 2**63, 10**12, 10**30, -(10**12), 10**400, 1e308, -0.0, 0.5])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["Box", "Discrete", "Dict", "Tuple", "float32", "object", "O", "<U8", "inf", "nan", "1e999", "clip"]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=8,
)


@st.composite
def broken(draw, values):
    """``values``, read from JSON, with something put in the place of one part, added or taken away."""
    spots = [()]
    for spot in spots:  # grows
        part = at(values, spot)
        keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else []
        spots += [(*spot, key) for key in keys]
    *path, last = draw(st.sampled_from(spots[1:]))
    changed = copy_of(values)
    part, how = at(changed, path), draw(st.sampled_from(["put", "put", "put", "take", "add"]))
    if how == "take":
        del part[last]
    elif how == "put":
        part[last] = draw(JSON)
    elif isinstance(part, dict):
        part[draw(st.text(max_size=5))] = draw(JSON)
    else:
        part.insert(last, draw(JSON))
    return changed


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def copy_of(tree):
    if isinstance(tree, dict):
        return {key: copy_of(part) for key, part in tree.items()}
    return [copy_of(part) for part in tree] if isinstance(tree, list) else tree


@st.composite
def damaged(draw, data):
    """``data`` with a few bytes changed, put in or left out, cut off, or something behind it."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(changed) - 1, 0)))
        how = draw(st.sampled_from(["change", "change", "cut", "insert", "leave out", "append"]))
        piece = draw(st.binary(min_size=1, max_size=8))
        if how == "change":
            changed[at : at + len(piece)] = piece
        elif how == "cut":
            del changed[at:]
        elif how == "insert":
            changed[at:at] = piece
        elif how == "leave out":
            del changed[at : at + len(piece)]
        else:
            changed += piece
    return bytes(changed)
