"""What every test has."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory):
    """No test reads or fills the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
