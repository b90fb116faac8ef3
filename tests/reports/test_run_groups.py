"""Which runs are pooled, what they are called, and that no name does harm."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximax.config.ppo_config import PPOConfig
from proximax.config.run_config import RunConfig
from proximax.errors import CheckpointError, UsageError
from proximax.reports.run_groups import MAX_LABEL, Member, env_label, find_runs, group_runs, harmless, has_runs
from tests.support.finished_runs import finished_run


def member(path="run", label=None, ppo=None, **settings):
    return Member(path, RunConfig(**{"env": "X-v0"} | settings, ppo=PPOConfig(**ppo or {})), label)


def shape(members):
    """(environment, label, seeds) of each group."""
    return [(group.env, group.label, group.seeds) for group in group_runs(members)]


def test_other_seeds_are_pooled_and_settings_that_change_nothing_are_ignored():
    runs = [member(seeds=2), member(seed=5, keep_checkpoints=9, eval_every=7, preset="cartpole")]
    assert shape(runs) == [("X-v0", "clip", [0, 1, 5])]


def test_a_label_is_the_algorithm_and_what_differs_among_its_runs():
    runs = [member(), member(algo="trpo"), member(ppo={"epsilon": 0.1}), member(ppo={"epsilon": 0.1, "hidden": (8,)})]
    assert [label for _, label, _ in shape(runs)] == [
        "clip (epsilon=0.2, hidden=[64, 64])",
        "trpo",
        "clip (epsilon=0.1, hidden=[64, 64])",
        "clip (epsilon=0.1, hidden=[8])",
    ]


def test_a_label_says_what_differs_on_its_own_environment():
    """What differs on another one is not named: the only run of an algorithm has its plain name."""
    runs = [member(ppo={"epsilon": 0.1}), member(), member(env="Y-v0", ppo={"gamma": 0.9})]
    runs += [member(env="Z-v0", ppo={"gamma": gamma}) for gamma in (0.9, 0.95)]
    assert shape(runs) == [
        ("X-v0", "clip (epsilon=0.1)", [0]),
        ("X-v0", "clip (epsilon=0.2)", [0]),
        ("Y-v0", "clip", [0]),
        ("Z-v0", "clip (gamma=0.9)", [0]),
        ("Z-v0", "clip (gamma=0.95)", [0]),
    ]


def test_a_label_is_whole_with_short_numbers_and_begins_with_what_varies_most():
    def swept(learning_rate, gamma):
        sizes = {"hidden": (64, 64) if gamma < 0.95 else (256, 256), "num_steps": 64 if gamma < 0.95 else 128}
        return member(ppo={"learning_rate": learning_rate, "gamma": gamma} | sizes)

    runs = [swept(0.000123456, 0.9), swept(1 / 3, 0.987654321), swept(2e-9, 0.9)]
    assert [label for _, label, _ in shape(runs)] == [
        "clip (learning_rate=0.000123, num_steps=64, gamma=0.9, hidden=[64, 64])",
        "clip (learning_rate=0.333, num_steps=128, gamma=0.988, hidden=[256, 256])",
        "clip (learning_rate=2e-09, num_steps=64, gamma=0.9, hidden=[64, 64])",
    ]


def test_environments_whose_arguments_only_look_the_same_are_not_pooled():
    runs = [member(f"runs/{i}", env_kwargs={"text": "x" * 400 + str(i)}) for i in range(2)]
    assert [(label, seeds) for _, label, seeds in shape(runs)] == [("clip (0)", [0]), ("clip (1)", [0])]


def test_an_environment_with_other_arguments_is_another():
    assert env_label(RunConfig("gymnasium:X-v0", env_kwargs={"b": 1, "a": "<i>"})) == "X-v0 (a=_i_, b=1)"
    assert len(group_runs([member(), member(env_kwargs={"a": 1})])) == 2


def test_a_label_of_the_users_stays_and_takes_in_the_same_settings():
    runs = [member(label="mine"), member(seed=3), member(ppo={"epsilon": 0.1})]
    assert shape(runs) == [("X-v0", "mine", [0, 3]), ("X-v0", "clip (epsilon=0.1)", [0])]
    with pytest.raises(UsageError, match=r"the label 'mine' has runs of different settings .*epsilon=0.2.*epsilon=0.1"):
        group_runs([member(label="mine"), member(label="mine", ppo={"epsilon": 0.1})])


def test_labels_that_would_be_the_same_name_directories():
    paths = ("sweep/a/run", "sweep/b/run", "sweep/c")
    close = [member(path, ppo={"gamma": 0.9 + i * 1e-6}) for i, path in enumerate(paths)]
    assert [label for _, label, _ in shape(close)] == ["clip (a/run)", "clip (b/run)", "clip (c)"]
    same_place = [member("run", ppo={"gamma": 0.9 + i * 1e-6}) for i in range(2)]
    assert [label for _, label, _ in shape(same_place)] == ["clip (run)", "clip (run) #2"]


def test_a_label_of_directories_is_of_all_runs_of_its_group():
    pooled = [member(f"sweep/{name}/run", seed=seed) for seed, name in enumerate("abc")]
    other = member("sweep/d", ppo={"gamma": 0.99 + 1e-6})
    assert [label for _, label, _ in shape([*pooled, other])] == ["clip (a/run, b/run and 1 more)", "clip (d)"]
    assert [label for _, label, _ in shape([*pooled[:2], other])] == ["clip (a/run, b/run)", "clip (d)"]


def test_runs_that_have_little_in_common_are_named_by_their_directories():
    other = {"num_steps": 8, "minibatch_size": 8, "epochs": 3, "learning_rate": 0.1, "gamma": 0.5, "lam": 0.5}
    other |= {"epsilon": 0.1, "value_coef": 1.0, "entropy_coef": 0.1, "max_grad_norm": 1.0, "hidden": (8,)}
    assert [label for _, label, _ in shape([member("a/x"), member("a/y", ppo=other)])] == ["clip (x)", "clip (y)"]


def test_labels_of_different_groups_are_never_the_same():
    long = [
        member(ppo={name: value}) for name in ("learning_rate", "gamma", "lam", "adam_epsilon") for value in (1e-9,)
    ]
    assert len({label for _, label, _ in shape(long)}) == len(long)
    assert shape([member(label="clip", ppo={"gamma": 0.5}), member(algo="clip", steps=99999)])[1][1] != "clip"


def test_a_seed_that_was_trained_twice_counts_once(caplog):
    with caplog.at_level(logging.WARNING, "proximax"):
        groups = group_runs([member("a", seeds=3), member("b", seed=2, seeds=2), member("c")])
    assert [seeds for _, seeds in groups[0].members] == [(0, 1, 2), (3,)]
    assert "b: left out seed 2, which a has with the same settings" in caplog.text
    assert "c: left out seed 0" in caplog.text


def test_runs_are_found_below_folders_but_not_inside_runs(tmp_path):
    for name in ("x/b", "x/a", "x/a/checkpoints/inner", "x/.hidden", "deep/1/2/3/4"):
        finished_run(tmp_path / name, [1.0])
    (tmp_path / "x" / "link").symlink_to(tmp_path / "deep")
    assert [run.path.name for run in find_runs([tmp_path / "x"])] == ["a", "b"]
    assert [run.named for run in find_runs([tmp_path / "x" / "a", tmp_path / "x"])] == [True, False]
    assert len(find_runs([tmp_path / "x", tmp_path / "x" / "a"])) == 2
    assert has_runs(tmp_path)
    for path in (tmp_path / "missing", tmp_path / "empty"):
        assert not has_runs(path)
        with pytest.raises(CheckpointError, match="is not a run directory"):
            find_runs([path])


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        (7, "must be a list of runs"),
        ("runs", "must be a list of runs"),
        ([7], "runs = 7: must be a path"),
        ([""], "a run is empty"),
        ({"a|b": "x"}, "the label 'a|b'"),
        ({"": "x"}, "the label ''"),
        ({3: "x"}, "the label 3"),
        ({"x" * 61: "x"}, "the label 'xxx"),
    ],
)
def test_wrong_runs_are_refused(runs, text):
    with pytest.raises(UsageError, match=text.replace("|", r"\|")):
        find_runs(runs)


def test_a_strangers_run_cannot_ask_for_more_seeds_than_memory_has(tmp_path):
    path = finished_run(tmp_path / "run", [1.0])
    text = (path / "config.json").read_text().replace('"seeds": 1', '"seeds": 1000000000000')
    (path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match="1,000,000,000,000 seeds; at most 65,536 are read"):
        find_runs([path])


@given(st.text(max_size=200))
def test_no_text_does_harm_in_a_terminal_a_page_or_a_figure(text):
    label = harmless(text)
    assert len(label) <= MAX_LABEL
    assert label.isascii()
    assert not set(label) & set('$|<>`*\\\n\r\t\x1b&%"')
    assert harmless(label) == label
