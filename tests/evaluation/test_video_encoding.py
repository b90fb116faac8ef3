"""The files of videos: whole or not there, at the right rate, with every pixel and a caption."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import proximax
from proximax.errors import DependencyError, EnvError, StorageError
from proximax.evaluation import video_encoding
from proximax.evaluation.video_encoding import FrameComposer, require_encoder, write_video
from tests.support.videos import decode_gif


@pytest.mark.parametrize(("module", "suffix"), [("imageio_ffmpeg", ".mp4"), ("PIL", ".gif"), ("PIL.ImageFont", ".mp4")])
def test_without_the_extra_the_line_that_installs_it_is_named(module, suffix, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DependencyError, match=r'pip install "proximax\[video\]"'):
        require_encoder(suffix)


def test_a_film_is_written_whole_or_not_at_all(tmp_path):
    def frames(n):
        for i in range(5):
            if i == n:
                raise EnvError("stop")
            yield np.full((16, 16, 3), 50 * i, np.uint8)

    for suffix in (".mp4", ".gif"):
        with pytest.raises(EnvError):
            write_video(tmp_path / f"x{suffix}", frames(3), 10)
        assert not list(tmp_path.iterdir())
        assert write_video(tmp_path / f"x{suffix}", frames(9), 10) == 5
        (tmp_path / f"x{suffix}").unlink()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="could not write"):
        write_video(tmp_path / "file" / "x.mp4", frames(9), 10)


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_two_videos_of_one_name_at_once_are_both_whole(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"

    def frames(inner):
        for i in range(6):
            if i == 3 and inner:
                assert write_video(path, frames(None), 10) == 6  # as another process would, in the midst of this one
                sizes.append(path.stat().st_size)
            yield np.full((16, 16, 3), 40 * i, np.uint8)

    sizes = []
    assert write_video(path, frames(True), 10) == 6
    assert [path.stat().st_size] == sizes  # the same frames, the same file
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_what_ffmpeg_says_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(video_encoding, "X264", ["-c:v", "no_such_codec"])
    with pytest.raises(StorageError, match="no_such_codec"):
        write_video(tmp_path / "x.mp4", iter([np.zeros((16, 16, 3), np.uint8)] * 100), 10)


def test_a_gif_faster_than_browsers_show_is_thinned(tmp_path):
    frames = (np.full((8, 8, 3), i, np.uint8) for i in range(120))
    assert write_video(tmp_path / "x.gif", frames, 60) == 60
    assert decode_gif(tmp_path / "x.gif")[1].sum() == 2000


@pytest.mark.parametrize("shape", [(210, 160, 3), (64, 64, 3), (33, 500, 3), (1080, 1920, 3), (101, 77, 3)])
def test_a_canvas_has_even_sides_and_every_pixel_of_the_picture(shape):
    canvas = FrameComposer(shape, "An environment with a name that is much too long for any screen-v0")
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    frame = canvas.draw(picture, 2345678, 29999)
    assert frame.shape == (canvas.height, canvas.width, 3)
    assert canvas.height % 2 == canvas.width % 2 == 0
    inside = frame[canvas.caption_height :: canvas.scale, :: canvas.scale][: shape[0], : shape[1]]
    np.testing.assert_array_equal(inside, picture)
    title, total, step = np.split(frame[: canvas.caption_height], canvas._columns(), axis=1)
    for part in (title, total, step):  # written, and not over its edges
        assert part.max() > 200
        assert len(np.unique(part[:, -3:].reshape(-1, 3), axis=0)) == 1


@pytest.mark.process
def test_filming_forks_no_process_full_of_threads(tmp_path):
    """JAX warns of ``os.fork``, which may deadlock: FFmpeg must be started without it."""
    code = (
        "import warnings; warnings.simplefilter('error'); import jax, numpy as np; from pathlib import Path;"
        "from proximax.evaluation.video_encoding import write_video; jax.numpy.zeros(1);"
        f"write_video(Path({str(tmp_path / 'x.mp4')!r}), iter([np.zeros((16, 16, 3), np.uint8)] * 3), 10)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(proximax.__file__).parents[1]
    )
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "x.mp4").exists()
