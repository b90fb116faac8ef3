"""Videos of frames with a caption bar above them: mp4 by FFmpeg, GIF by Pillow; both need the ``video`` extra."""

import math
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from proximax.errors import DependencyError, StorageError, UsageError
from proximax.runtime import format_number, temporary_path

SUFFIXES = (".mp4", ".gif")
MAX_SIZE = (480, 750)  # columns and rows that a frame is magnified to at most
TEXT, CAPTION_BAR, TEXT_SIZES = (235, 235, 235), (34, 34, 34), range(20, 7, -1)
MARGIN = 8
GIF_FPS = 50  # browsers show faster GIFs at a tenth of their speed
# H.264 as browsers play it, of constant quality without visible loss; the index comes first, so that playing can start
# before the whole file has arrived.
X264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-preset", "veryfast", "-movflags", "+faststart"]


def require_encoder(suffix: str) -> None:
    """Refuse a type of file that cannot be written; ``DependencyError`` with the line that installs the extra."""
    if suffix.lower() not in SUFFIXES:
        raise UsageError(f"a video is a file that ends in {' or '.join(SUFFIXES)}, not {suffix or 'without ending'!r}")
    try:
        import PIL.ImageFont  # noqa: F401

        if suffix.lower() == ".mp4":
            import imageio_ffmpeg

            imageio_ffmpeg.get_ffmpeg_exe()
    except ImportError as error:
        raise DependencyError(f'videos need {error.name}: pip install "proximax[video]"') from error
    except RuntimeError as error:
        raise DependencyError(f"imageio-ffmpeg has no FFmpeg for this machine; install one ({error})") from error


class FrameComposer:
    """Lays out a video: a caption bar with title, return and step; below it the frame, magnified by an integer."""

    def __init__(self, shape: tuple[int, ...], title: str) -> None:
        rows, columns = shape[:2]
        self.scale = max(1, min(MAX_SIZE[0] // columns, MAX_SIZE[1] // rows))
        self.width = -(-columns * self.scale // 2) * 2  # H.264 halves the resolution of colours: even sizes only
        self._font = next((font for font in map(load_font, TEXT_SIZES) if self._fits(font)), load_font(TEXT_SIZES[-1]))
        self.caption_height = -(-(text_size(self._font, "Ag")[1] + MARGIN) // 2) * 2
        self.height = self.caption_height + -(-rows * self.scale // 2) * 2
        self._title = self._shorten(title)
        self._frame = np.zeros((self.height, self.width, 3), np.uint8)
        self._caption = ""

    def _columns(self) -> tuple[int, int]:
        """Where the return and the step begin: fixed, so that no number moves the others."""
        return round(self.width * 0.38), round(self.width * 0.73)

    def _fits(self, font: object) -> bool:
        begin, middle = self._columns()
        room = middle - begin - MARGIN, self.width - middle - MARGIN
        return all(text_size(font, text)[0] <= r for text, r in zip(("return 0,000,000", "step 00000"), room))

    def _shorten(self, title: str) -> str:
        room = self._columns()[0] - 2 * MARGIN
        while text_size(self._font, title)[0] > room and len(title) > 2:
            title = title[:-2] + "…"
        return title

    def draw(self, screen: np.ndarray, total: float, step: int) -> np.ndarray:
        """A frame ``[height, width, 3]`` of the video: ``screen [rows, columns, 3]`` below its caption."""
        frame, caption = self._frame, f"return {format_number(total)}\nstep {step}"
        if caption != self._caption:
            frame[: self.caption_height] = self._write(caption)
            self._caption = caption
        magnified = screen.repeat(self.scale, 0).repeat(self.scale, 1)
        rows, columns = magnified.shape[:2]
        frame[self.caption_height : self.caption_height + rows, :columns] = magnified
        return frame.copy()

    def _write(self, caption: str) -> np.ndarray:
        from PIL import Image, ImageDraw

        image = Image.new("RGB", (self.width, self.caption_height), CAPTION_BAR)
        pen = ImageDraw.Draw(image)
        for x, text in zip((MARGIN, *self._columns()), (self._title, *caption.split("\n"))):
            pen.text((x, self.caption_height / 2), text, TEXT, self._font, anchor="lm")
        return np.asarray(image)


def load_font(size: int) -> Any:
    """Pillow's own font."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def text_size(font: Any, text: str) -> tuple[int, int]:
    """(columns, rows) of a text."""
    left, top, right, bottom = font.getbbox(text)
    return math.ceil(right - left), math.ceil(bottom - top)


def write_video(path: Path, frames: Iterator[np.ndarray], fps: float) -> int:
    """Write all frames, the whole file or none; returns the number of frames. Raises ``StorageError``.

    They are written under a name of this call's own: other processes may be recording the same video.
    """
    require_encoder(path.suffix)
    unfinished = temporary_path(path)
    write = write_gif if path.suffix.lower() == ".gif" else write_mp4
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.touch(exist_ok=False)
        count = write(unfinished, frames, fps)
        unfinished.replace(path)
    except OSError as error:
        raise StorageError(f"could not write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            unfinished.unlink()
    return count


def write_mp4(path: Path, frames: Iterator[np.ndarray], fps: float) -> int:
    """H.264 as every browser plays it."""
    from imageio_ffmpeg import get_ffmpeg_exe

    count, first = 0, next(frames)
    input_format = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{first.shape[1]}x{first.shape[0]}", "-r", str(fps)]
    command = [get_ffmpeg_exe(), "-y", "-loglevel", "error", *input_format, "-i", "-", "-an", *X264, str(path)]
    # Not imageio-ffmpeg's own writer: it forks this process with all of JAX's threads, which may deadlock.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # FFmpeg has ended, and its stderr says why
            for count, frame in enumerate(chain([first], frames), 1):  # noqa: B007
                process.stdin.write(frame.tobytes())
        _, message = process.communicate()
    if process.returncode:
        raise StorageError(f"FFmpeg could not write {path}: {message.decode(errors='replace').strip()[-500:]}")
    return count


def write_gif(path: Path, frames: Iterator[np.ndarray], fps: float) -> int:
    """A GIF that repeats forever. Its times are hundredths of a second, rounded so that no error adds up."""
    from PIL import Image

    stride, count = math.ceil(fps / GIF_FPS), 0

    def images() -> Iterator[Image.Image]:
        nonlocal count
        for frame in islice(frames, 0, None, stride):
            image = Image.fromarray(frame)
            begin, end = (round(100 * stride * (count + i) / fps) for i in (0, 1))
            image.info["duration"] = 10 * (end - begin)
            count += 1
            yield image

    sequence = images()
    next(sequence).save(path, format="GIF", save_all=True, append_images=sequence, loop=0)
    return count


def small_gif(path: Path, columns: int = 240, fps: int = 10, seconds: float = 20.0) -> bytes:
    """The beginning of a video as a GIF with few frames: a picture for programs that show no videos."""
    from imageio_ffmpeg import get_ffmpeg_exe

    # A palette of its own keeps the colours; it is made of the whole before the first frame is written.
    filters = f"fps={fps},scale='min({columns},iw)':-2,split[a][b];[a]palettegen[p];[b][p]paletteuse"
    source = ["-t", str(seconds), "-i", f"file:{path}"]  # whatever its name begins with
    command = [get_ffmpeg_exe(), "-loglevel", "error", *source, "-vf", filters, "-loop", "0", "-f", "gif", "-"]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    if ran.returncode:
        raise StorageError(f"FFmpeg could not read {path}: {ran.stderr.decode(errors='replace').strip()[-500:]}")
    return ran.stdout
