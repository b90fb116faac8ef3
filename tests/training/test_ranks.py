"""What the processes of a run agree on; two of them are played by arrays that stand for the exchange."""

import numpy as np
import pytest

from proximax.config import RunConfig
from proximax.runs import bytes_of_tree, tree_of_bytes
from proximax.training import ranks
from proximax.training.ranks import Ranks, config_of_rank, env_state_of_rank, join_ranks


def exchange(monkeypatch, *of_each):
    """From now on the arrays of the ranks are these, whatever this process gives; an array for each exchange."""
    rows = iter(of_each)
    monkeypatch.setattr(ranks, "from_processes", lambda x: np.stack([np.asarray(row) for row in next(rows)]))


def test_a_process_alone_asks_nobody(monkeypatch):
    monkeypatch.setattr(ranks, "from_processes", None)
    alone, notes = join_ranks(RunConfig("CartPole-v1", shards=4))
    assert (alone, notes) == (Ranks(0, 1), [])
    assert (alone.first_says(3), alone.largest(5), alone.total(7), alone.is_first) == (3, 5, 7, True)
    assert alone.gather({"x": 1}) == [{"x": 1}]
    assert alone.join_env_states({"groups": [1, 2]}) == {"groups": [1, 2]}
    assert alone.join_env_states(None) is None
    assert alone.first_before_others(lambda: 6) == 6


def test_the_first_decides_and_a_signal_of_any_is_one_of_all(monkeypatch):
    second = Ranks(1, 2)
    exchange(monkeypatch, [3, 9], [2, 4])
    assert second.first_says(9) == 3
    assert second.total(4) == 6
    assert not second.is_first


def test_the_first_goes_before_the_others(monkeypatch):
    order = []
    monkeypatch.setattr(ranks, "from_processes", lambda x: [order.append("exchange")] and np.stack([x, x]))
    for rank in (0, 1):
        Ranks(rank, 2).first_before_others(lambda: order.append("called"))
    assert order == ["called", "exchange", "exchange", "called"]


TREE = {"groups": [{"rng": [2**70, "PCG64"], "time": np.float64(0.1), "obs": np.arange(6, dtype=np.int64)}, None]}


def test_trees_of_several_ranks_keep_every_bit(monkeypatch):
    ours, theirs = (
        np.frombuffer(bytes_of_tree(tree), np.uint8) for tree in (TREE, {"groups": [{"longer": "x" * 999}]})
    )
    most = max(len(ours), len(theirs))
    padded = [np.pad(x, (0, most - len(x))) for x in (ours, theirs)]
    exchange(monkeypatch, [len(ours), len(theirs)], padded)
    state = Ranks(0, 2).join_env_states(TREE)
    first, second, third = state["groups"]
    assert first["rng"] == [2**70, "PCG64"]
    assert first["time"] == np.float64(0.1)
    assert first["obs"].dtype == np.int64
    assert first["obs"].tolist() == list(range(6))
    assert second is None
    assert third == {"longer": "x" * 999}


def test_where_one_rank_has_no_state_there_is_none(monkeypatch):
    parts = [np.frombuffer(bytes_of_tree(tree), np.uint8) for tree in (TREE, None)]
    exchange(monkeypatch, [len(x) for x in parts], [np.pad(x, (0, len(parts[0]) - len(x))) for x in parts])
    assert Ranks(1, 2).join_env_states(None) is None


@pytest.mark.parametrize("tree", [TREE, None, {}, [], {"nan": float("nan"), "deep": [[{"x": np.zeros((0, 2))}]]}])
def test_a_tree_as_bytes_is_the_same_tree(tree):
    again = tree_of_bytes(bytes_of_tree(tree))
    assert str(again) == str(tree).replace("np.float64(0.1)", "array(0.1)")


def test_a_rank_gets_the_environments_of_its_shards():
    whole = {"groups": ["a", "b"]}
    assert env_state_of_rank(whole, 2) == whole  # alone it has all
    assert env_state_of_rank({"envs": []}, 1) == {"envs": []}
    assert env_state_of_rank({"groups": ["a"]}, 2) == {"groups": ["a"]}  # ``set_state`` refuses it


def test_only_the_first_records_videos():
    config = RunConfig("CartPole-v1", video_every=100)
    assert config_of_rank(config, Ranks(0, 2)) is config
    assert config_of_rank(config, Ranks(1, 2)).video_every is None
