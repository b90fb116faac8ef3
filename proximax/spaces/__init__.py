"""Gymnasium spaces as trees: everything that is known from a space alone.

Read ``tree`` (branches and leaves), ``checks`` (what is supported), ``storage`` (dtypes of stored observations),
``masks`` (which actions are allowed), ``frame_stack`` (stacks of frames without copies), ``serialization`` (spaces as
JSON).
"""

from proximax.spaces.checks import check_action_space, check_observation_space
from proximax.spaces.frame_stack import FrameStore, Stacked, is_stacked, observations_at, rows_of, stacks
from proximax.spaces.masks import (
    MASK,
    allowed_action,
    check_mask,
    check_stackable,
    choice_sizes,
    choices,
    has_mask,
    mask_of,
    nothing_allowed,
    ravel_mask,
    ravel_masks,
    with_mask,
)
from proximax.spaces.serialization import MOST_ELEMENTS, describe_space, make_space
from proximax.spaces.storage import obs_dtype, store
from proximax.spaces.tree import Space, alike, branches, flatten, leaves, nest, paths, place

__all__ = [
    "MASK",
    "MOST_ELEMENTS",
    "FrameStore",
    "Space",
    "Stacked",
    "alike",
    "allowed_action",
    "branches",
    "check_action_space",
    "check_mask",
    "check_observation_space",
    "check_stackable",
    "choice_sizes",
    "choices",
    "describe_space",
    "flatten",
    "has_mask",
    "is_stacked",
    "leaves",
    "make_space",
    "mask_of",
    "nest",
    "nothing_allowed",
    "obs_dtype",
    "observations_at",
    "paths",
    "place",
    "ravel_mask",
    "ravel_masks",
    "rows_of",
    "stacks",
    "store",
    "with_mask",
]
