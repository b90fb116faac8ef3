import os

import pytest

from proximax.errors import CheckpointError
from proximax.web.media import open_part, videos_of


@pytest.fixture
def video(tmp_path):
    (tmp_path / "videos").mkdir()
    path = tmp_path / "videos" / "000100.mp4"
    path.write_bytes(bytes(range(200)))
    return path


def test_videos_newest_first_without_links_pipes_and_unfinished_ones(tmp_path, video):
    newer = video.with_name("000200.gif")
    newer.write_bytes(b"GIF")
    os.utime(video, (1, 1))
    video.with_name("link.mp4").symlink_to(video)
    os.mkfifo(video.with_name("pipe.mp4"))
    video.with_name(".x.tmp.mp4").write_bytes(b"")
    video.with_name("notes.txt").write_bytes(b"")
    video.with_name("folder.mp4").mkdir()
    found = videos_of(tmp_path)
    assert [(file.name, file.size, file.type) for file in found] == [
        ("000200.gif", 3, "image/gif"),
        ("000100.mp4", 200, "video/mp4"),
    ]


def test_a_folder_of_videos_that_is_a_link_is_none(tmp_path, video):
    other = tmp_path / "other"
    other.mkdir()
    assert videos_of(other) == []
    (other / "videos").symlink_to(video.parent)
    assert videos_of(other) == []


@pytest.mark.parametrize(
    ("header", "status", "begin", "end"),
    [
        (None, 200, 0, 200),
        ("bytes=0-", 206, 0, 200),
        ("bytes=10-19", 206, 10, 20),
        ("bytes=-5", 206, 195, 200),
        ("bytes=190-900", 206, 190, 200),
        ("bytes=200-", 416, 0, 0),
        ("bytes=9-3", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=0-1,5-9", 200, 0, 200),
        ("bytes=-", 200, 0, 200),
        ("lines=1-2", 200, 0, 200),
        ("bytes=99999999999999999999-", 200, 0, 200),
    ],
)
def test_the_part_of_a_file_that_a_header_asks_for(video, header, status, begin, end):
    part, answered = open_part(video, header)
    assert (answered, part.size) == (status, 200)
    assert b"".join(part.chunks()) == bytes(range(begin, end))
    assert part.file.closed


def test_what_is_no_plain_file_is_refused(video):
    link = video.with_name("link.mp4")
    link.symlink_to(video)
    with pytest.raises(CheckpointError, match="symbolic link"):
        open_part(link, None)
