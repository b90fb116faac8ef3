"""Callbacks: when they are called, what they see, what they may change."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import proximax
from proximax.errors import UsageError
from proximax.training.callbacks import Training, checked_like
from tests.support.saved_runs import TINY as SIX_UPDATES

TINY = SIX_UPDATES | {"steps": 64}  # four updates


class Record(proximax.TrainingCallback):
    """What happened, in order."""

    def __init__(self, stop_at=99, rate=None):
        self.calls, self.stop_at, self.rate = [], stop_at, rate

    def on_start(self, training):
        self.calls.append(("start", training.update))

    def on_update(self, training, rows):
        assert rows[0]["update"] == training.update
        assert training.progress == training.update / 4
        self.calls.append(("update", training.steps))
        if self.rate is not None:
            training.learning_rate = self.rate
        return training.update == self.stop_at

    def on_evaluation(self, training, evaluation):
        self.calls.append(("evaluation", evaluation.returns.shape))
        self.params = [np.asarray(x) for x in jax.tree.leaves(training.agents[0].params)]

    def on_end(self, training, result):
        self.calls.append(("end", result.stopped_by))


def params(result, seed=0):
    return [np.asarray(x) for x in jax.tree.leaves(result.agents[seed].params)]


@pytest.mark.parametrize("env", ["probe:matching", "CartPole-v1"])
def test_they_are_called_in_order_and_see_the_present_policy(env):
    record, rows = Record(), []
    result = proximax.train(env, eval_every=32, callbacks=[record, rows.extend], **TINY)
    update, evaluation = "update", ("evaluation", (1, 2))
    expected = [("start", 0), (update, 16), (update, 32), evaluation, (update, 48), (update, 64), evaluation]
    assert record.calls == [*expected, ("end", "steps")]
    assert rows == result.history
    for seen, last in zip(record.params, params(result), strict=True):
        np.testing.assert_array_equal(seen, last)


def test_they_change_nothing_by_watching():
    watched, alone = (proximax.train("CartPole-v1", callbacks=c, **TINY) for c in ([Record()], []))
    for one, other in zip(params(watched), params(alone), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("env", ["probe:matching", "CartPole-v1"])
def test_the_learning_rate_can_be_set_from_the_next_update_on(env):
    result = proximax.train(env, seeds=2, learning_rate=1e-3, callbacks=[Record(rate=0.0)], **TINY)
    rates = [row["learning_rate"] for row in result.history if row["seed"] == 1]
    assert rates == pytest.approx([1e-3, 0.0, 0.0, 0.0])
    once = proximax.train(env, seeds=2, learning_rate=1e-3, callbacks=[lambda rows: True], **TINY)
    for seed in range(2):  # nothing was learned after the first update
        for one, other in zip(params(result, seed), params(once, seed), strict=True):
            np.testing.assert_array_equal(one, other)


class Sets(proximax.TrainingCallback):
    """Sets one setting after the first update."""

    def __init__(self, name, value):
        self.name, self.value, self.seen = name, value, []

    def on_update(self, training, rows):
        self.seen.append(getattr(training, self.name))
        if training.update == 1:
            setattr(training, self.name, self.value)


MORE = (pytest.mark.slow, pytest.mark.exhaustive)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "name", "first", "then"),
    [
        ("CartPole-v1", "epsilon", 0.2, 0.05),
        ("probe:matching", "entropy_coef", 0.0, 0.5),
        pytest.param("probe:matching", "epsilon", 0.2, 0.05, marks=MORE),
        pytest.param("CartPole-v1", "entropy_coef", 0.0, 0.5, marks=MORE),
    ],
)
def test_clip_range_and_entropy_bonus_can_be_set_and_are_learned_with(env, name, first, then):
    settings = {"seeds": 2, "anneal": "none", **TINY}
    setter = Sets(name, then)
    result = proximax.train(env, callbacks=[setter], **settings)
    assert setter.seen == pytest.approx([first, then, then, then])
    for seed in range(2):
        assert [row[name] for row in result.history if row["seed"] == seed] == pytest.approx([first, then, then, then])
    # What a schedule that makes the same step sets, and no schedule does not.
    stepped = proximax.Schedule(**{name: lambda progress: first if progress == 0 else then})
    same = proximax.train(env, callbacks=[stepped], **settings)
    for one, other in zip(params(result, 1), params(same, 1), strict=True):
        np.testing.assert_array_equal(one, other)
    if name == "entropy_coef":
        plain = proximax.train(env, **settings)
        assert any((one != other).any() for one, other in zip(params(result, 1), params(plain, 1), strict=True))


@pytest.mark.slow
def test_a_value_that_was_set_holds_after_a_resume(tmp_path):
    run = tmp_path / "run"
    both = [Sets("epsilon", 0.05), Record(stop_at=2)]
    proximax.train("probe:matching", callbacks=both, out=run, anneal="none", **TINY)
    result = proximax.train("probe:matching", out=run, resume=True, anneal="none", **TINY)
    assert [row["epsilon"] for row in result.history] == pytest.approx([0.2, 0.05, 0.05, 0.05])


@pytest.mark.slow
def test_a_schedule_is_a_function_of_progress_and_goes_on_after_a_resume(tmp_path):
    schedule = proximax.Schedule(learning_rate=lambda p: 1e-3 * (1 - p) ** 2, entropy_coef=lambda p: 0.1 * p)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = {"anneal": "epsilon", **TINY}
    result = proximax.train("CartPole-v1", callbacks=[schedule], out=whole, **settings)
    squares = [1e-3 * left**2 for left in (1, 0.75, 0.5, 0.25)]
    assert [row["learning_rate"] for row in result.history] == pytest.approx(squares)
    assert [row["entropy_coef"] for row in result.history] == pytest.approx([0, 0.025, 0.05, 0.075])
    proximax.train("CartPole-v1", callbacks=[schedule, Record(stop_at=2)], out=parts, **settings)
    again = proximax.train("CartPole-v1", callbacks=[schedule], out=parts, resume=True, **settings)
    for one, other in zip(params(result), params(again), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("functions", "settings", "message"),
    [
        ({"epsilon": lambda p: 0.1}, {"anneal": ("learning_rate", "epsilon")}, "leave it out of anneal"),
        ({"learning_rate": lambda p: 1e-3}, {"anneal": "learning_rate"}, "leave it out of anneal = learning_rate"),
        (
            {"learning_rate": lambda p: 1e-3},
            {"anneal": "none", "target_kl": 0.01, "kl_control": "learning_rate"},
            "has a Schedule and kl_control = learning_rate",
        ),
        ({"epsilon": lambda p: -1.0}, {"anneal": "none"}, "epsilon = -1.0: must be a number > 0"),
    ],
)
def test_a_schedule_that_contradicts_the_settings_is_refused(functions, settings, message):
    with pytest.raises(UsageError, match=message):
        proximax.train("probe:matching", callbacks=[proximax.Schedule(**functions)], **TINY | settings)


@pytest.mark.slow
def test_a_schedule_takes_its_setting_out_of_the_presets_anneal(tmp_path):
    schedule = proximax.Schedule(epsilon=lambda p: jnp.float32(0.1))
    settings = {"callbacks": [schedule], "out": tmp_path / "run", **TINY, "preset": "cartpole"}
    result = proximax.train("probe:matching", **settings)
    assert result.config.ppo.anneal == ("learning_rate",)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["ppo"]["anneal"] == ["learning_rate"]
    assert [row["epsilon"] for row in result.history] == pytest.approx([0.1] * 4)
    rates = [row["learning_rate"] for row in result.history]
    assert rates == pytest.approx([rates[0] * left for left in (1, 0.75, 0.5, 0.25)])
    assert proximax.train("probe:matching", resume=True, **settings).config == result.config


def test_two_schedules_of_one_setting_are_refused():
    two = [proximax.Schedule(epsilon=lambda p: 0.1, entropy_coef=lambda p: 0.1), proximax.Schedule(epsilon=max)]
    for anneal in ({}, {"anneal": "none"}):
        with pytest.raises(UsageError, match="epsilon has 2 Schedules: give one"):
            proximax.train("probe:matching", callbacks=two, **TINY | anneal)


@pytest.mark.parametrize(
    ("name", "hint"), [("clip_range", "did you mean 'epsilon'"), ("entropy_coeff", "'entropy_coef'"), ("gamma", "$")]
)
def test_what_cannot_be_set_is_refused(name, hint):
    with pytest.raises(UsageError, match=rf"training\.{name} cannot be set, but learning_rate, epsilon, .*{hint}"):
        setattr(Training(None, None, None), name, 0.1)
    with pytest.raises(UsageError, match=rf"Schedule has no {name}, but learning_rate, epsilon, .*{hint}"):
        proximax.Schedule(**{name: lambda p: 0.1})


@pytest.mark.parametrize("kind", [float, np.float32, np.asarray, jnp.asarray])
def test_an_array_of_one_number_is_a_number(kind):
    assert checked_like("epsilon", kind(0.5), np.ones(2)).tolist() == [0.5, 0.5]
    with pytest.raises(UsageError, match="epsilon = -1"):
        checked_like("epsilon", kind(-1.0), np.ones(2))
    with pytest.raises(UsageError, match="must be a number"):
        checked_like("epsilon", np.ones(2), np.ones(2))


def test_a_schedule_of_something_else_is_refused_at_once():
    with pytest.raises(UsageError, match="Schedule has no gamma, but learning_rate, epsilon, entropy_coef"):
        proximax.Schedule(gamma=lambda p: 0.9)
    with pytest.raises(UsageError, match=r"entropy_coef = 0\.1: must be a function"):
        proximax.Schedule(entropy_coef=0.1)


@pytest.mark.slow
def test_one_of_several_ends_the_run_and_every_one_is_called(tmp_path):
    first, second = Record(stop_at=2), Record()
    result = proximax.train("probe:matching", callbacks=[first, second], out=tmp_path / "run", **TINY)
    assert result.stopped_by == "callback"
    assert first.calls == second.calls == [("start", 0), ("update", 16), ("update", 32), ("end", "callback")]
    again = Record()
    proximax.train("probe:matching", callbacks=[again], out=tmp_path / "run", resume=True, **TINY)
    assert again.calls == [("start", 2), ("update", 48), ("update", 64), ("end", "steps")]


def test_an_exception_reaches_the_caller_and_the_run_is_saved(tmp_path):
    class Fails(proximax.TrainingCallback):
        def on_evaluation(self, training, evaluation):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        proximax.train("probe:matching", eval_every=32, callbacks=[Fails()], out=tmp_path / "run", **TINY)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*")] == ["step-000000000032"]


@pytest.mark.parametrize("callbacks", [[Record], [3], [None], Record()])
def test_what_is_no_callback_is_refused(callbacks):
    with pytest.raises(UsageError, match="must be a list of functions or TrainingCallback objects"):
        proximax.train("probe:matching", callbacks=callbacks, **TINY)


def test_an_answer_to_an_evaluation_ends_the_run():
    class Prune(Record):
        def on_evaluation(self, training, evaluation):
            super().on_evaluation(training, evaluation)
            return np.bool_(True)

    prune, watch = Prune(), Record()
    result = proximax.train("probe:matching", eval_every=32, callbacks=[prune, watch], **TINY)
    assert result.stopped_by == "callback"
    assert result.steps == 32
    assert prune.calls[-1] == watch.calls[-1] == ("end", "callback")
    assert ("evaluation", (1, 2)) in watch.calls


def test_a_method_that_looks_like_a_hook_is_refused():
    class Ported(proximax.TrainingCallback):
        on_colour = "blue"  # no method

        def on_step(self):
            return True

        def on_rollout_end(self):
            pass

    hooks = "on_start, on_update, on_evaluation, on_end"
    with pytest.raises(UsageError, match=f"Ported.on_rollout_end, on_step are not hooks and .*: {hooks}"):
        proximax.train("probe:matching", callbacks=[Ported()], **TINY)


@pytest.mark.parametrize("rate", [-1.0, float("nan"), "fast"])
def test_a_learning_rate_that_is_none_is_refused(rate):
    with pytest.raises(UsageError, match="learning_rate"):
        proximax.train("probe:matching", callbacks=[Record(rate=rate)], **TINY)


def test_a_schedule_may_end_at_0_where_no_update_follows():
    schedule = proximax.Schedule(epsilon=lambda done: 0.2 * (1 - done))
    result = proximax.train("probe:matching", callbacks=[schedule], **TINY)
    assert [row["epsilon"] for row in result.history] == pytest.approx([0.2, 0.15, 0.1, 0.05])
