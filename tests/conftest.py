"""What every test has, and what several files of tests share."""

from pathlib import Path

import pytest

LONG = (
    "user/test_pages.py", "test_configs.py", "user/test_installed.py", "test_resume.py", "test_ranks.py",
    "test_cli_bad_input.py", "test_benchmark.py", "test_ranks_cli.py", "test_cli_own_runs.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no process is left with one at the end."""
    items.sort(key=lambda item: next((i for i, name in enumerate(LONG) if name in item.nodeid), len(LONG)))


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory):
    """No test reads or fills the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published checkpoint of two perceptrons, to be copied and forged."""
    from tests import bundles
    from zoo.hub import recipe

    networks = {"generator": "MLPGenerator", "discriminator": "MLPDiscriminator"}
    small = {"image_shape": [1, 8, 8], "width": 4, "depth": 1}
    arguments = {name: {"class_path": kind, "init_args": small} for name, kind in networks.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "ARGUMENTS", arguments)
        return bundles.publish(tmp_path_factory.mktemp("published") / "mlp", recipe.build("wgan_gp", arguments))
