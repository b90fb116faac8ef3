"""No value comes out of a conversion as another one. Trap 41; faults 7, 9."""

import numpy as np
import pytest
from gymnasium import spaces

from proximax.spaces.exact import DoesNotFit, NotANumber, convert, keeps_values, one_flag, one_number, store, write_tree
from proximax.spaces.storage import check_ranges, obs_dtype, to_stored

KINDS = [np.dtype(x) for x in ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")]
FLOATS = [np.dtype(x) for x in ("float16", "float32", "float64")]


def extremes(dtype):
    """The values of a dtype that another one is most likely not to hold."""
    if dtype.kind == "f":
        top = float(np.finfo(dtype).max)
        return np.array([top, -top, 0.5, -1.0, 300.0, 0.0, np.inf, -np.inf, np.nan], dtype)
    limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.array([limits[0], 0, 1, limits[1]], dtype)


@pytest.mark.trap(41)
@pytest.mark.fault(9)
@pytest.mark.parametrize("target", KINDS + FLOATS, ids=str)
@pytest.mark.parametrize("source", KINDS + FLOATS, ids=str)
def test_every_value_of_every_type_is_kept_or_refused(source, target):
    for value in extremes(source):
        before = np.array([value], source)
        exact = float(value) if source.kind == "f" else int(value)  # of Python: integers of any size
        if target.kind == "f":
            holds = not np.isfinite(value) or abs(exact) <= float(np.finfo(target).max)
        else:
            limits = (0, 1) if target.kind == "b" else (np.iinfo(target).min, np.iinfo(target).max)
            holds = bool(np.isfinite(value)) and exact == int(exact) and limits[0] <= exact <= limits[1]
        out = np.zeros(1, target)
        if holds:
            stored = convert(before, target)
            store(before, out)
            assert stored.dtype == target
            np.testing.assert_array_equal(stored, out)
            if target.kind == "f":  # to the nearest number of the target
                assert np.isclose(float(out[0]), exact, rtol=2.0**-10, atol=0, equal_nan=True)
            else:
                assert int(out[0]) == exact
        else:
            for change in (lambda: convert(before, target), lambda: store(before, out)):  # noqa: B023
                with pytest.raises(DoesNotFit, match=f"which {target} cannot hold"):
                    change()


def test_what_keeps_all_values_is_not_compared():
    assert all(keeps_values(np.dtype(a), np.dtype(b)) for a, b in (("int64", "float32"), ("uint8", "int16")))
    assert not any(keeps_values(np.dtype(a), np.dtype(b)) for a, b in (("int64", "int32"), ("float64", "float32")))


@pytest.mark.trap(41)
@pytest.mark.fault(9)
def test_the_entry_the_place_the_value_and_the_remedy_are_named():
    tree, arrays = {"a": 0, "b": (1, 2)}, [np.zeros((2, 3)), np.zeros((2, 2), np.uint8), np.zeros(2, np.int64)]
    write_tree(tree, {"a": [1, 2, 3], "b": ([4, 5], 6)}, arrays, 1)
    assert [x[1].tolist() for x in arrays] == [[1, 2, 3], [4, 5], 6]
    assert all((x[0] == 0).all() for x in arrays)
    for value, text in (
        ({"a": [1, 2, 3], "b": ([4, -1], 6)}, r"observation\['b'\]\[0\] at \[1\] is -1, which uint8 .*Give the space"),
        ({"a": [1, 2, 3], "b": ([4, 5], 0.5)}, r"observation\['b'\]\[1\] is 0.5, which int64 cannot hold"),
        ({"a": [1, 2], "b": ([4, 5], 6)}, r"observation\['a'\] has shape \(2,\), where \(3,\) belongs"),
        ({"a": "far", "b": ([4, 5], 6)}, r"observation\['a'\] is 'far', of <U3, where numbers belong"),
        ({"a": [[1], [2, 3]], "b": ([4, 5], 6)}, r"observation\['a'\] is .*, which is not an array"),
        ({"b": ([4, 5], 6)}, r"the observation lacks the entry 'a'; its space has \['a', 'b'\]"),
        ({"a": [1, 2, 3], "b": ([4, 5], 6), "c": 1}, "the observation has the entry 'c', which its space lacks"),
        ({"a": [1, 2, 3], "b": ([4, 5],)}, r"observation\['b'\] is .*, where 2 entries belong"),
        ([1, 2], "the observation is .*, where a dict with the entries"),
    ):
        with pytest.raises(DoesNotFit, match=text):
            write_tree(tree, value, arrays, 0)


def test_a_reward_may_be_any_one_number_and_a_flag_any_truth():
    for value in (2, 2.0, np.float32(2), np.int64(2), np.array(2.0), np.array([2.0]), [2.0], np.array([[2]], np.int8)):
        assert one_number(value, "the reward") == 2.0
    assert one_number(True, "the reward") == 1.0
    for value in (None, "2", [1, 2], [], {}, 2j, np.array([None])):
        with pytest.raises(NotANumber, match=r"^the reward is .* must be one number"):
            one_number(value, "the reward")
    for value in (10**400, -(10**400), np.longdouble("1e400")):
        with pytest.raises(NotANumber, match=r"^the reward is .*, which float64 cannot hold"):
            one_number(value, "the reward")
    assert one_number(np.inf, "the reward") == np.inf  # told by what learns from it
    for value in (True, np.bool_(True), 1, np.array([True]), np.int8(1), 1.0):
        assert one_flag(value, "terminated") is True
        assert one_flag(not value, "terminated") is False
    for value in (2, 0.5, np.nan, "False", None, [True, False]):
        with pytest.raises(NotANumber, match=r"^terminated is "):
            one_flag(value, "terminated")


@pytest.mark.trap(41)
@pytest.mark.fault(9)
def test_integers_beyond_32_bits_become_floats_and_keep_their_order():
    space = spaces.Box(0, 2**62, (1,), np.int64)
    assert obs_dtype(space) == np.float32
    seen = to_stored(space, np.arange(1, 7)[:, None] * 10**9)
    np.testing.assert_array_equal(seen, np.float32([[1e9], [2e9], [3e9], [4e9], [5e9], [6e9]]))
    for dtype in (np.int64, np.uint64):
        assert obs_dtype(spaces.Box(0, 100, (1,), dtype)) == dtype
        with pytest.raises(DoesNotFit, match=f"is {2**31}, which is not in Box"):
            check_ranges(spaces.Box(0, 100, (1,), dtype), np.array([[2**31]], dtype))
        check_ranges(spaces.Box(0, 100, (1,), dtype), np.array([[2**31 - 1]], dtype))


@pytest.mark.trap(41)
@pytest.mark.fault(9)
def test_the_environment_is_named_whose_value_does_not_fit():
    space = spaces.Dict(n=spaces.Discrete(5), x=spaces.Box(-np.inf, np.inf, (2,), np.float64))
    obs = {"n": np.array([0, 4]), "x": np.array([[0.0, 1.0], [2.0, 1e300]])}
    with pytest.raises(DoesNotFit, match=r"observation\['x'\] of environment 1 at \[1\] is 1e\+300, which float32"):
        to_stored(space, obs)
    with pytest.raises(DoesNotFit, match=r"observation\['n'\] of environment 0 is 4294967296, which int32 cannot hold"):
        to_stored(space, {**obs, "n": np.array([2**32, 0])})
    stored = to_stored(space, {"n": np.array([0, 5]), "x": np.full((2, 2), np.nan)})  # NaN is told by what learns
    with pytest.raises(DoesNotFit, match=r"observation\['n'\] is 5, which is not in Discrete\(5\) in environment 1"):
        check_ranges(space, stored, lambda at: f"environment {at[0]}")


@pytest.mark.fault(9)
def test_a_batch_with_an_entry_that_the_space_lacks_is_refused():
    space = spaces.Dict(a=spaces.Tuple((spaces.Box(-1, 1, (2,)), spaces.Discrete(2))))
    part = np.zeros((3, 2), np.float32), np.zeros(3, np.int64)
    assert to_stored(space, {"a": part})["a"][1].dtype == np.int32
    with pytest.raises(DoesNotFit, match="has the entry 'wind', which its space lacks"):
        to_stored(space, {"a": part, "wind": np.ones(3)})
    with pytest.raises(DoesNotFit, match=r"observation\['a'\] is .*, where 2 entries belong"):
        to_stored(space, {"a": (*part, 1)})
