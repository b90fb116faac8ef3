"""The table of --verbose, by hand."""

from dataclasses import replace

from proximax.loggers.progress import Progress, SpeedMeter
from proximax.loggers.table import metrics_table
from tests.support.metric_rows import CONFIG, seed_rows

ONE = replace(CONFIG, seeds=1)
MORE = {"episode_return": 31.0, "episode_length": 31.0, "clip_fraction": 0.04215686, "explained_variance": 0.5}
MORE |= {"gradient_steps": 20.0, "learning_rate": 3e-5, "epsilon": 0.2, "beta": 1.0, "kl_k1": 1.0, "finite": 1.0}
MORE |= {"value_loss": 34.41146}


def table(config, scores, evaluation=(), width=None, **more):
    rows = seed_rows(43, 83.2, 430_080, scores, **MORE | more)
    progress = Progress.after(rows, config, SpeedMeter(), [])._replace(steps_per_s=12_345.6, seconds_left=83.2)
    return metrics_table(config, progress, rows, rows, list(evaluation), width)


def test_one_seed():
    evaluation = [{"update": 40, "seed": 0, "steps": 400_000, "return_mean": 77.25, "episodes": 10}]
    assert table(ONE, [312.44], evaluation).splitlines() == [
        "------------------------------------------",
        "| rollout/             |                 |",
        "|   return_last_100    | 312.4           |",
        "|   episode_return     | 31              |",
        "|   episode_length     | 31              |",
        "|   episodes           | 1               |",
        "| train/               |                 |",
        "|   kl                 | 3e-5            |",
        "|   entropy            | 0.25            |",
        "|   clip_fraction      | 0.0422          |",
        "|   value_loss         | 34.4            |",
        "|   explained_variance | 0.5             |",
        "|   gradient_steps     | 20              |",
        "|   learning_rate      | 3e-5            |",
        "|   epsilon            | 0.2             |",
        "| time/                |                 |",
        "|   steps              | 430,080         |",
        "|   update             | 43 of 100 (43%) |",
        "|   steps_per_s        | 12,346          |",
        "|   elapsed            | 1:23            |",
        "|   left               | 1:23            |",
        "| eval/                |                 |",
        "|   return_mean        | 77.2            |",
        "|   steps              | 400,000         |",
        "------------------------------------------",
    ]


def test_of_several_seeds_mean_and_range_and_it_is_said():
    lines = table(CONFIG, [300.0, 320.0]).splitlines()
    assert lines[1].split("|")[1:3] == [" 2 seeds              ", " mean (low to high) "]
    assert lines[3].split("|")[2].strip() == "310 (300 to 320)"
    assert lines[7 + 1].split("|")[2].strip() == "3e-5"  # the same for all
    assert len({len(x) for x in lines}) == 1


def test_a_narrow_terminal_gets_no_ranges_and_is_told_so():
    wide = table(CONFIG, [300.0, 320.0], width=45).splitlines()
    assert max(map(len, wide)) == 45  # 20 + 18 and their frame
    narrow = table(CONFIG, [300.0, 320.0], width=44).splitlines()
    assert narrow[1].split("|")[2].strip() == "mean"
    assert narrow[3].split("|")[2].strip() == "310"
    assert max(map(len, narrow)) == 42


def test_only_settings_that_the_algorithm_uses_and_no_number_that_is_not_there():
    def settings(algo):
        text = table(replace(ONE, algo=algo), [None])
        return ["epsilon" in text, "beta" in text]

    assert {algo: settings(algo) for algo in ("clip", "penalty", "trpo", "custom:mine")} == {
        "clip": [True, False],
        "penalty": [False, True],
        "trpo": [False, False],
        "custom:mine": [True, True],
    }
    assert "|   entropy_coef       | 0.01 " in table(ONE, [None], entropy_coef=0.01)
    text = table(ONE, [None], entropy_coef=0.0)
    assert "entropy_coef" not in text
    assert "|   return_last_100    | n/a " in text
    assert "line_search_fraction" not in text
    assert "kl_k1" not in text


def test_episodes_are_those_of_the_latest_rollout_that_ended_one():
    rows = seed_rows(43, 83.2, 430_080, [1.0], **MORE)
    ended = [{**rows[0], "episode_length": 77.0}]
    rows[0] |= {"episodes": 0, "episode_length": None}
    text = metrics_table(ONE, Progress.after(rows, ONE, SpeedMeter(), []), rows, ended, [])
    assert "|   episode_length     | 77 " in text
    assert "|   episodes           | 0 " in text
