"""ALE's games, whose state is the actions since the emulators were seeded."""

import numpy as np
import pytest

from proximax.config.atari_config import AtariConfig
from proximax.envs import Game, make_env
from proximax.envs.atari import ale


@pytest.mark.parametrize(
    ("since", "kept", "room"),
    [([0, 900], 1024, 2048), ([1000, 1010], 24, 1024), ([300, 1024], 724, 1448)],
    ids=["all are needed", "few are", "one game was just seeded"],
)
def test_actions_are_kept_from_the_earliest_seed_on(since, kept, room):
    games = ale.AleEnv.__new__(ale.AleEnv)
    taken = np.random.default_rng(0).integers(0, 6, (1024, 2)).astype(np.uint8)
    games.num_envs, games._actions, games._taken, games._since = 2, taken.copy(), 1024, np.array(since)
    games._grow()
    assert (games._taken, len(games._actions)) == (kept, room)
    for i in range(2):
        np.testing.assert_array_equal(games._actions[games._since[i] : kept, i], taken[since[i] :, i])


def test_ale_gives_the_same_steps_until_a_game_is_seeded_anew(monkeypatch):
    pytest.importorskip("ale_py")
    seen = []
    for frames in (200_000, 400):
        monkeypatch.setattr(ale, "FRAMES_PER_SEED", frames)
        env, rng = make_env(Game("ALE/Breakout-v5", AtariConfig()), 2), np.random.default_rng(0)
        env.reset([1, 2])
        steps = [env.step(rng.integers(0, 4, 2)) for _ in range(600)]
        seen.append([(s.obs.copy(), s.final_obs.copy(), s.episode_over.copy()) for s in steps])
        assert min(len(game["actions"]) for game in env.get_state()["envs"]) < 600 or frames > 400
        env.close()
    ends = [t for t, step in enumerate(seen[0]) if step[2].any()]
    differ = [t for t in range(600) if not np.array_equal(seen[0][t][0], seen[1][t][0])]
    assert differ[0] in ends  # at a game's start, and not before
    np.testing.assert_array_equal(seen[0][differ[0]][1], seen[1][differ[0]][1])
