"""The door to a run's files: plain files are opened, and nothing that leads elsewhere or never ends. Faults 38, 39."""

import os

import pytest

from proximax.errors import CheckpointError, StorageError
from proximax.runtime.plain_files import (
    is_temporary,
    open_plain,
    open_to_append,
    own_file,
    refuse_link,
    refuse_special,
    temporary_path,
)

pytestmark = pytest.mark.fault(39)


@pytest.fixture
def places(tmp_path):
    """A file, a link to it, a link to nothing, a pipe and a folder."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    return tmp_path


def test_a_plain_file_is_read_and_appended_to(places):
    with open_to_append(places / "file") as file:
        file.write(b"!")
    with open_to_append(places / "new") as file:
        file.write(b"new")
    with open_plain(places / "file") as file:
        assert file.read() == b"mine!"
    assert (places / "new").read_text() == "new"


@pytest.mark.parametrize("name", ["link", "dangling", "pipe", "folder"])
def test_anything_else_is_refused_at_once(places, name):
    with pytest.raises(CheckpointError, match=r"symbolic link|is not a file"):
        open_plain(places / name)
    if name != "folder":
        with pytest.raises(StorageError, match=r"symbolic link|neither a file nor a folder"):
            open_to_append(places / name)
        with pytest.raises(StorageError, match=r"symbolic link|neither a file nor a folder"):
            refuse_special(places / name)
    assert (places / "file").read_text() == "mine"
    assert not (places / "nothing").exists()


def test_what_takes_the_place_of_a_file_after_it_was_looked_at_is_not_followed(places, monkeypatch):
    for name in ("link", "pipe"):
        monkeypatch.setattr("proximax.runtime.plain_files.regular_size", lambda path: 4)
        with pytest.raises((OSError, CheckpointError), match=r"symbolic links|not a file"):
            open_plain(places / name)


def test_what_is_not_there_is_neither_a_link_nor_special(tmp_path):
    refuse_link(tmp_path / "x")
    refuse_special(tmp_path / "x")
    own_file(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_what_is_appended_to_a_hard_link_stays_out_of_the_other_file(places):
    os.link(places / "file", places / "copy")
    (places / "file").chmod(0o640)
    with open_to_append(places / "copy") as file:
        file.write(b", and more")
        file.truncate(9)
    assert ((places / "file").read_text(), (places / "copy").read_text()) == ("mine", "mine, and")
    assert (places / "copy").stat().st_mode == (places / "file").stat().st_mode
    assert len(list(places.iterdir())) == 6  # no unfinished copy


def test_unfinished_files_have_names_that_differ_each_time_and_are_known_again(tmp_path):
    path = tmp_path / "film.mp4"
    names = {temporary_path(path) for _ in range(20)}
    assert len(names) == 20
    for name in names:
        assert (name.parent, name.suffix) == (tmp_path, ".mp4")  # FFmpeg goes by the ending
        assert is_temporary(name, "film.mp4")
        assert not is_temporary(name, "film.gif")
    assert not is_temporary(path, "film.mp4")
    assert len(temporary_path(tmp_path / ("x" * 250)).name) < 255
