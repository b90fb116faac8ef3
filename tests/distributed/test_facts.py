"""What is compared at the start, and how a difference is named."""

import pytest

from proximax.distributed.facts import (
    differences,
    neighbours,
    own_facts,
    processor_features,
    processor_note,
    ranks_text,
)
from tests.support.process_facts import facts


def test_equal_processes_do_not_differ():
    assert differences([facts(), facts(machine="other 2", cores=[5])]) == []
    assert processor_note([facts(), facts()]) == ""


def test_a_difference_says_which_rank_has_what():
    other = facts(versions={"jax": "1.1", "numpy": "2"}, settings="cd")
    assert differences([facts(), other, other, facts()]) == [
        "jax: 1 in ranks 0, 3, 1.1 in ranks 1-2",
        "settings (a digest of config.json): ab in ranks 0, 3, cd in ranks 1-2",
    ]
    assert differences([facts(flags="--x"), facts()]) == ["XLA_FLAGS: --x in rank 0, none in rank 1"]


def test_processors_are_compared_by_what_each_lacks():
    newer = facts(features=["avx", "avx512f", "sse"])
    assert processor_note([newer, facts(), newer, facts()]) == "ranks 1, 3 without avx512f"


def test_the_settings_are_compared_by_their_digest_whatever_their_order():
    assert own_facts({"a": 1, "b": 2})["settings"] == own_facts({"b": 2, "a": 1})["settings"]
    assert own_facts({"a": 1})["settings"] != own_facts({"a": 2})["settings"]
    assert own_facts({})["versions"]["proximax"]


def test_processor_features(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags\t\t: sse avx\nflags : other\n")
    assert processor_features(tmp_path / "cpuinfo") == ["avx", "sse"]
    assert len(processor_features(tmp_path / "missing")) == 1


def test_threads_of_one_core_are_neighbours(tmp_path):
    for core in range(4):  # as on two cores with two threads each
        (tmp_path / f"cpu{core}" / "topology").mkdir(parents=True)
        (tmp_path / f"cpu{core}" / "topology" / "physical_package_id").write_text("0\n")
        (tmp_path / f"cpu{core}" / "topology" / "core_id").write_text(f"{core % 2}\n")
    assert neighbours([0, 1, 2, 3], tmp_path) == [0, 2, 1, 3]
    assert neighbours([3, 1], tmp_path / "missing") == [1, 3]


@pytest.mark.parametrize(("ranks", "text"), [([3], "rank 3"), ([0, 1, 2, 5], "ranks 0-2, 5"), ([0, 2], "ranks 0, 2")])
def test_ranks_as_text(ranks, text):
    assert ranks_text(ranks) == text
