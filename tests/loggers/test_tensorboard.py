"""Event files for TensorBoard, read back by TensorBoard itself."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import parse_experiment_plugin_data, parse_session_start_info_plugin_data

from proximax.evaluation.video_encoding import write_video
from proximax.loggers.base import LoggedRun
from proximax.loggers.tensorboard import FINAL_RETURN, TensorBoardLogger, flat_settings, tensorboard_installed
from tests.support.metric_rows import CONFIG, rows


def read(folder):
    """What TensorBoard sees of a run."""
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0}).Reload()


def curve(events, tag):
    return [(scalar.step, scalar.value) for scalar in events.Scalars(tag)]


def test_tensorboard_has_a_folder_per_seed_and_each_number_in_its_group_at_its_steps(tmp_path):
    assert tensorboard_installed()
    sink = TensorBoardLogger(LoggedRun(CONFIG, tmp_path))
    sink.write(rows(1, score=None))
    sink.write(rows(2, score=2.5))
    sink.close()
    assert sorted(path.name for path in (tmp_path / "tensorboard").iterdir()) == ["seed-3", "seed-4"]
    for seed in ("seed-3", "seed-4"):
        events = read(tmp_path / "tensorboard" / seed)
        assert set(events.Tags()["scalars"]) == {
            *("rollout/episodes", "rollout/return_last_100", "train/entropy", "train/kl"),
            *("time/time_s", "time/steps_per_s"),
        }
        assert curve(events, "train/entropy") == [(8, 0.25), (16, 0.25)]
        assert curve(events, "rollout/return_last_100") == [(16, 2.5)]
        assert curve(events, "time/steps_per_s") == [(16, 16.0)]  # of both seeds together


def test_the_ratios_are_a_histogram(tmp_path):
    counts = [3, *[0] * 9, 7, 5, *[0] * 9, 1]  # below 0.5, from 0.95 to 1.05, above 1.5
    sink = TensorBoardLogger(LoggedRun(CONFIG, tmp_path))
    sink.write(rows(1, ratio_histogram=counts))
    sink.close()
    (event,) = read(tmp_path / "tensorboard" / "seed-3").Histograms("train/ratio_histogram")
    assert event.step == 8
    bars = [(limit, count) for limit, count in zip(event.histogram_value.bucket_limit, event.histogram_value.bucket)]
    assert [(round(limit, 2), count) for limit, count in bars if count] == [(0.5, 3), (1.0, 7), (1.05, 5), (1.55, 1)]
    assert (round(event.histogram_value.min, 2), event.histogram_value.num) == (0.45, 16)


def test_evaluations_are_there_and_the_final_one_apart(tmp_path):
    sink = TensorBoardLogger(LoggedRun(CONFIG, tmp_path))
    for steps, returns, final in [(16, (1.0, None), False), (24, (2.0, 4.0), False), (24, (3.0, 5.0), True)]:
        sink.write_evaluation([{"seed": 3 + i, "steps": steps, "return_mean": x} for i, x in enumerate(returns)], final)
    sink.close()
    first, second = (read(tmp_path / "tensorboard" / name) for name in ("seed-3", "seed-4"))
    assert curve(first, "eval/return_mean") == [(16, 1.0), (24, 2.0)]
    assert curve(second, "eval/return_mean") == [(24, 4.0)]  # the first did not end
    assert [curve(events, FINAL_RETURN) for events in (first, second)] == [[(24, 3.0)], [(24, 5.0)]]


def test_a_video_is_a_moving_image_of_the_first_seed(tmp_path, caplog):
    path = tmp_path / "file:16.mp4"
    frames = [np.full((60, 320, 3), 60 * (i // 10), np.uint8) for i in range(40)]
    write_video(path, iter(frames), 20)  # two seconds, from black to gray
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    sink = TensorBoardLogger(LoggedRun(CONFIG, tmp_path))
    sink.write_video(tmp_path / "broken.mp4", 8)
    sink.write_video(path, 16)
    sink.close()
    assert "broken.mp4" in caplog.text
    (image,) = read(tmp_path / "tensorboard" / "seed-3").Images("eval/video")
    assert read(tmp_path / "tensorboard" / "seed-4").Tags()["images"] == []
    assert (image.step, image.width, image.height) == (16, 240, 46)
    with Image.open(io.BytesIO(image.encoded_image_string)) as gif:
        assert (gif.format, gif.size, gif.n_frames) == ("GIF", (240, 46), 20)
        levels = [gif.seek(i) or gif.convert("RGB").getpixel((100, 20))[0] for i in (2, 8, 12, 18)]
    assert np.allclose(levels, [0, 60, 120, 180], atol=6)


def test_the_settings_are_there_as_text_and_for_the_page_that_compares_runs(tmp_path):
    config = replace(CONFIG, env_kwargs={"size": [3, 4]})
    TensorBoardLogger(LoggedRun(config, tmp_path)).close()
    events = read(tmp_path / "tensorboard" / "seed-4")
    (text,) = events.Tensors("config/text_summary")
    assert json.loads(text.tensor_proto.string_val[0]) == json.loads(json.dumps(config.to_json()))
    contents = events.PluginTagToContent("hparams")
    settings = parse_session_start_info_plugin_data(contents["_hparams_/session_start_info"]).hparams
    assert settings["ppo.gamma"].number_value == config.ppo.gamma
    assert settings["seed"].number_value == 4  # the folder's own
    assert settings["algo"].string_value == "clip"
    assert settings["ppo.normalise_obs"].bool_value is config.ppo.normalise_obs
    assert settings["ppo.hidden"].string_value == "[64, 64]"
    assert "stop_at_return" not in settings  # None
    experiment = parse_experiment_plugin_data(contents["_hparams_/experiment"])
    assert {info.name for info in experiment.hparam_infos} == set(flat_settings(config.to_json()))
    assert [info.name.tag for info in experiment.metric_infos] == [FINAL_RETURN]


def test_of_a_long_run_a_thousand_updates_and_the_last_are_written(tmp_path):
    sink = TensorBoardLogger(LoggedRun(replace(CONFIG, steps=2999 * 8), tmp_path))
    for update in range(1, 3000):
        sink.write(rows(update))
    sink.close()
    steps = [step for step, _ in curve(read(tmp_path / "tensorboard" / "seed-3"), "train/kl")]
    assert steps == [*range(24, 2999 * 8, 24), 2999 * 8]


@pytest.mark.parametrize("end", [6, 50])
def test_tensorboard_leaves_out_what_a_resumed_run_makes_again_seed_by_seed(tmp_path, end):
    """The first part ends before its first checkpoint, or after one at 40 and 37 steps."""
    first = TensorBoardLogger(LoggedRun(CONFIG, tmp_path))
    for update in range(1, end + 1):
        first.write(rows(update))
    first.close()
    saved = [40, 37] if end == 50 else [0, 0]
    again = TensorBoardLogger(LoggedRun(CONFIG, tmp_path, steps=saved))
    again.write(rows(6, entropy=0.5))
    again.close()
    for seed, step in (("seed-3", saved[0]), ("seed-4", saved[1])):
        before = [(steps, 0.25) for steps in range(8, end * 8 + 1, 8) if steps <= step]
        assert curve(read(tmp_path / "tensorboard" / seed), "train/entropy") == [*before, (48, 0.5)]
