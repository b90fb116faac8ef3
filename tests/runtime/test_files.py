"""Files that are whole or not there, and JSON that is exactly JSON. Faults 24, 26, 38."""

import errno
import json
import os
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from proximax.errors import CheckpointError, StorageError
from proximax.runtime import files
from proximax.runtime.files import MAX_BYTES, read_json, sha256, storing, sync_folder, write_atomically, write_json


@pytest.mark.fault(24)
@pytest.mark.parametrize("failing", [(os, "fsync"), (Path, "replace")])
def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_half_one(failing, tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*failing, full)
    with pytest.raises((OSError, StorageError), match="No space left"):
        write_json(path, {"new": 1})
    assert [each.name for each in tmp_path.iterdir()] == ["x.json"]
    assert read_json(path, "") == {"old": 1}


def test_a_file_is_on_disk_before_it_takes_the_olds_place(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda *a: (order.append("rename"), replace(*a))[1])
    write_atomically(tmp_path / "x", b"1")
    assert order == ["sync", "rename", "sync"]  # the file, the rename, the folder


@pytest.mark.parametrize(("number", "fine"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_a_file_system_that_lets_nobody_wait_for_a_folder_takes_files_all_the_same(number, fine, tmp_path, monkeypatch):
    fsync = os.fsync

    def only_files(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", only_files)
    with nullcontext() if fine else pytest.raises(StorageError, match=r"cannot write to .*x\.json: Input/output error"):
        write_json(tmp_path / "x.json", {"a": 1})
    assert read_json(tmp_path / "x.json", "") == {"a": 1}


def test_a_folder_that_cannot_be_opened_is_not_waited_for(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    sync_folder(tmp_path)


def test_nan_is_not_written_and_nothing_is_left(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[1]", "does not hold a JSON object"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1, "b": {"c": 2, "c": 3}}', "the key 'c' occurs twice"),
        (b'{"a": "\xff"}', "cannot be read"),
        (b'{"a":' * 200_000, "cannot be read"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b'{"a": ' + b"9" * 400 + b"}", "99999... is too large a number"),
    ],
)
def test_json_that_is_none_is_refused(data, message, tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read_json(path, "")


@pytest.mark.fault(38)
def test_a_huge_file_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    monkeypatch.setattr(files, "open_plain", lambda path: path.open("ab"))  # which to read is an error
    with pytest.raises(CheckpointError, match="at most 16,777,216 are read"):
        read_json(path, "")
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"y\.json is missing: no run"):
        read_json(tmp_path / "y.json", "no run")


def test_what_the_disk_refuses_names_the_place(tmp_path):
    told = f"cannot write to {tmp_path}: No space left on device. Choose"
    with pytest.raises(StorageError, match=told), storing(tmp_path):
        raise OSError(28, "No space left on device")


def test_integers_of_any_size_survive(tmp_path):
    write_json(tmp_path / "x.json", {"a": 2**128 - 1})
    assert json.loads((tmp_path / "x.json").read_text()) == read_json(tmp_path / "x.json", "") == {"a": 2**128 - 1}


def test_a_checksum_is_that_of_the_field():
    assert sha256(b"abc").startswith("ba7816bf8f01cfea")  # FIPS 180-2, appendix B.1


@pytest.mark.parametrize("path", ["file/.lock", "file/a/b"])
def test_a_file_where_a_folder_is_needed_is_named(path, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"file is a file\. Choose another --out$"), storing(tmp_path / path):
        (tmp_path / path).touch()
