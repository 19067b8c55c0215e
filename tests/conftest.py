"""What every test has, and what several files of tests share."""

from collections.abc import Iterator

import pytest

from tests.fakes.calls import Calls
from tests.fakes.wandb import KEY, FakeWandb


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory):
    """No test reads or fills the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def wandb() -> Iterator[FakeWandb]:
    """W&B's server on loopback, which must have known all that it was asked."""
    with FakeWandb(key=KEY) as server:
        yield server
    assert server.unknown == []


@pytest.fixture(scope="module")
def calls(wandb: FakeWandb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calls]:
    """Calls in processes that are logged in there."""
    with Calls(wandb.environment(tmp_path_factory.mktemp("home"))) as made:
        yield made
