"""Gymnasium spaces as trees: everything that is known from a space alone.

Read ``tree`` (branches and leaves), ``checks`` (what is supported), ``storage`` (dtypes of stored observations),
``exact`` (nothing else comes out of a conversion than went in),
``masks`` (which actions are allowed), ``frame_stack`` (stacks of frames without copies), ``serialization`` (spaces as
JSON).
"""

from proximax.spaces.checks import check_action_space, check_observation_space
from proximax.spaces.exact import DoesNotFit, NotANumber, one_flag, one_number, write_tree
from proximax.spaces.frame_stack import FrameStore, Stacked, is_stacked, observations_at, take_observations, take_stacks
from proximax.spaces.masks import (
    MASK,
    check_mask,
    check_stackable,
    choices_per_component,
    flatten_mask,
    flatten_masks,
    has_mask,
    mask_of,
    no_action_allowed,
    num_mask_entries,
    sample_allowed_action,
    with_mask,
)
from proximax.spaces.serialization import MAX_ELEMENTS, describe_space, make_space
from proximax.spaces.storage import check_ranges, check_structure, obs_dtype, to_stored
from proximax.spaces.tree import Space, branches, compatible, describe_leaf, flatten, leaves, paths, unflatten

__all__ = [
    "MASK",
    "MAX_ELEMENTS",
    "DoesNotFit",
    "FrameStore",
    "NotANumber",
    "Space",
    "Stacked",
    "branches",
    "check_action_space",
    "check_mask",
    "check_observation_space",
    "check_ranges",
    "check_stackable",
    "check_structure",
    "choices_per_component",
    "compatible",
    "describe_leaf",
    "describe_space",
    "flatten",
    "flatten_mask",
    "flatten_masks",
    "has_mask",
    "is_stacked",
    "leaves",
    "make_space",
    "mask_of",
    "no_action_allowed",
    "num_mask_entries",
    "obs_dtype",
    "observations_at",
    "one_flag",
    "one_number",
    "paths",
    "sample_allowed_action",
    "take_observations",
    "take_stacks",
    "to_stored",
    "unflatten",
    "with_mask",
    "write_tree",
]
