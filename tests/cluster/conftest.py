"""What the tests on demand share: the run that nothing disturbs."""

import shutil
from collections.abc import Callable

import pytest

from tests.support.marked_runs import TRAIN, MarkedRun
from tests.support.saved_runs import saved


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], object]:
    """What a run by one process saves, for a number of shards."""
    known: dict[int, object] = {}

    def of(shards: int) -> object:
        if shards not in known:
            folder = tmp_path_factory.mktemp(f"undisturbed-{shards}")
            MarkedRun(folder, TRAIN.format(shards=shards)).finish().fine()
            known[shards] = saved(folder / "run")
        return known[shards]

    return of


@pytest.fixture
def program() -> Callable[[str], str]:
    """The path of a program; the test fails where it is not installed."""

    def find(name: str) -> str:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        assert path, f"{name} is not installed: make test-cluster installs what these tests need"
        return path

    return find
