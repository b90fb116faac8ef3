"""Spaces as JSON and back, and refused where the JSON describes none. Fault 38."""

import contextlib
import json
import tracemalloc

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given

from proximax.errors import CheckpointError
from proximax.spaces.serialization import describe_space, make_space
from proximax.spaces.tree import leaves
from tests.support.bad_spaces import BOX_JSON, HUGE, short
from tests.support.saved_runs import BOX
from tests.support.strategies import JSON, SPACES, broken


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    "around", [lambda x: {"kind": "Dict", "spaces": {"a": x}}, lambda x: {"kind": "Tuple", "spaces": [x]}]
)
def test_a_space_too_deep_for_the_stack_is_refused(around):
    values = BOX_JSON
    for _ in range(5_000):
        values = around(values)
    with pytest.raises(CheckpointError, match="describes a space that proximax does not know"):
        make_space(values)


INF = np.inf


def box(low, high, dtype=np.float32):
    return spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)


DESCRIBED = [
    spaces.Box(-INF, INF, (3,)),
    box([[0, -1], [-INF, 2.5]], [[0.1, INF], [7, 1e30]]),
    spaces.Box(-0.1, 1 / 3, (2,), np.float64),
    spaces.Box(0, 255, (2, 3, 1), np.uint8),
    spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64),
    spaces.Box(-2.0, 6.0, ()),
    spaces.Discrete(4, start=-7),
    spaces.Discrete(4, start=-7, dtype=np.int32),
    spaces.Discrete(200, dtype=np.uint8),
    spaces.MultiDiscrete([2, 3], start=[5, -1]),
    spaces.MultiDiscrete([[2, 3], [4, 1]], start=[[1, 0], [-3, 7]]),
    spaces.MultiDiscrete([2, 3], start=[5, -1], dtype=np.int16),
    spaces.MultiBinary(3),
    spaces.MultiBinary([3]),
    spaces.MultiBinary([2, 3]),
    spaces.Dict(action_mask=spaces.MultiBinary([4]), obs=spaces.Discrete(500)),
    spaces.Tuple((spaces.Tuple((spaces.Discrete(2),)), spaces.Dict({"": spaces.Box(-1.0, 1.0, (1,)), "ü '": BOX}))),
]
DESCRIBED += [spaces.Dict(b=spaces.Tuple(DESCRIBED), a=spaces.Dict({str(i): x for i, x in enumerate(DESCRIBED)}))]


@pytest.mark.parametrize("space", DESCRIBED, ids=lambda space: f"{space!s:.60}")
def test_a_described_space_is_made_again_equal(space):
    again = make_space(json.loads(json.dumps(describe_space(space), allow_nan=False)))
    assert again == space
    assert again.dtype == space.dtype
    assert type(again) is type(space)


def test_spaces_of_older_files_which_do_not_name_a_dtype_are_of_int64():
    assert make_space({"kind": "Discrete", "shape": [4], "start": -7}) == spaces.Discrete(4, start=-7)
    found = make_space({"kind": "MultiDiscrete", "nvec": [2, 3], "start": [5, -1]})
    assert found == spaces.MultiDiscrete([2, 3], start=[5, -1])
    assert found.dtype == np.int64


@pytest.mark.fault(38)
@pytest.mark.parametrize("huge", HUGE, ids=short)
def test_a_huge_space_is_refused_before_anything_of_its_size_is_made(huge, monkeypatch):
    for kind in ("Box", "Discrete", "MultiBinary", "MultiDiscrete"):
        monkeypatch.setattr(spaces, kind, lambda *_, **__: pytest.fail("it was made"))
    with pytest.raises(CheckpointError, match=r"describes a space of .* elements; at most 67108864 are read"):
        make_space(huge)


@given(SPACES)
def test_any_space_is_made_again_equal(space):
    again = make_space(json.loads(json.dumps(describe_space(space), allow_nan=False)))
    assert again == space  # in whatever order the keys are: ``leaves`` sorts them
    for one, other in zip(leaves(again), leaves(space), strict=True):
        assert one.dtype == other.dtype
        if isinstance(one, spaces.Box):  # whose own equality is approximate
            np.testing.assert_array_equal((one.low, one.high), (other.low, other.high))


@pytest.mark.fault(38)
@given(SPACES.flatmap(lambda space: broken({"space": describe_space(space)})) | JSON.map(lambda x: {"space": x}))
def test_a_description_with_any_one_part_wrong_is_a_small_space_or_a_fault(values):
    tracemalloc.start()
    try:
        with contextlib.suppress(CheckpointError):
            make_space(values.get("space"), max_elements=10_000)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
