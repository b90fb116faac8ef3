"""What is in a video file, and which numbers a frame shows."""

import re
import subprocess

import numpy as np
import pytest

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
image = pytest.importorskip("PIL.Image")


def decode(path):
    """(frames ``[n, rows, columns, 3]``, frames per second) of an mp4."""
    # Not by imageio-ffmpeg's reader, which forks.
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    told = subprocess.run(command, capture_output=True, check=True)
    facts = re.search(r"Video: h264 .* yuv420p\b.*? (\d+)x(\d+)\b.*? ([\d.]+) fps", told.stderr.decode())
    columns, rows = int(facts[1]), int(facts[2])
    return np.frombuffer(told.stdout, np.uint8).reshape(-1, rows, columns, 3), float(facts[3])


def decode_gif(path):
    """(frames, milliseconds of each) of a GIF."""
    film = image.open(path)
    each = []
    for i in range(film.n_frames):
        film.seek(i)
        each.append((np.asarray(film.convert("RGB")), film.info["duration"]))
    return np.stack([frame for frame, _ in each]), np.array([ms for _, ms in each])


def read(frame, canvas, totals, steps):
    """Which of these returns and steps the frame's caption shows: that whose drawing is nearest to it."""

    def apart(numbers):
        drawn = canvas.draw(np.zeros((1, 1, 3), np.uint8), *numbers)[: canvas.caption_height]
        return np.abs(frame[: canvas.caption_height].astype(int) - drawn).mean()

    distances = {(total, step): apart((total, step)) for total in totals for step in steps}
    assert min(distances.values()) < 3
    return min(distances, key=distances.get)
