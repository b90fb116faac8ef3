"""What a run says at its start."""

import pytest
from gymnasium import spaces

import proximax
from proximax.policy import make_policy
from proximax.training.notes import library_notes, rounding_notes, sequence_notes
from proximax.training.resolve_config import resolve

OBS, ACTIONS = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)


def test_rounded_steps_are_said_once_and_only_where_they_differ():
    ppo = proximax.PPOConfig(num_steps=256)
    assert rounding_notes(proximax.RunConfig("x", steps=98_304, num_envs=8, ppo=ppo)) == []
    (note,) = rounding_notes(proximax.RunConfig("x", steps=100_000, num_envs=8, ppo=ppo))
    assert note == (
        "steps = 100,000 is not a multiple of rollouts of num_steps x num_envs = 2,048: 98,304 steps are trained"
    )


def test_a_run_like_another_library_says_what_is_other_than_by_default_and_than_there():
    assert library_notes(proximax.RunConfig("x")) == []
    config, _ = resolve("CartPole-v1", None, {"like": "cleanrl", "epsilon": 0.1})
    changed, remains = library_notes(config)
    assert changed.startswith(
        "like cleanrl (CleanRL, ppo.py): num_envs = 4 (by default 8), num_steps = 128 (by default"
    )
    for text in (
        "bessel_correction = True (by default False)",
        "value_epsilon = 0.2",
    ):
        assert text in changed
    assert "gamma" not in changed
    assert " epsilon =" not in changed  # which the user has chosen
    assert remains.startswith("not like cleanrl all the same: a time limit counts as an end")


@pytest.mark.parametrize(
    ("settings", "length", "said"),
    [
        (
            {},
            64,
            "gradients go back 64 of a rollout's 256 steps (sequence_length); minibatches of 64 hold 1 sequence each",
        ),
        ({"minibatch_size": 96}, 32, "gradients go back 32 of a rollout's 256 steps"),
        ({"minibatch_size": 512, "sequence_length": 16}, 16, "minibatches of 512 hold 32 sequences each"),
        ({"minibatch_size": 512}, 256, ""),
        ({"minibatch_size": None}, 256, ""),
    ],
)
def test_how_far_gradients_go_back_is_said_where_it_is_less_than_a_rollout(settings, length, said):
    ppo = proximax.PPOConfig(num_steps=256, hidden=(2,), recurrent_units=2, **settings)
    config = proximax.RunConfig("x", num_envs=3 * 8, ppo=ppo)
    assert config.sequence_length == length
    notes = sequence_notes(config, make_policy(OBS, ACTIONS, ppo, "gru"))
    assert (said in notes[0]) if said else (notes == [])
    assert sequence_notes(config, make_policy(OBS, ACTIONS, ppo, "mlp")) == []
