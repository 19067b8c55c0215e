"""The built wheel in an environment of its own, used from a folder that is no checkout.

The environment has its own zoo and borrows the dependencies of the running one, by a line of a .pth file. Only the last
test installs the wheel with its dependencies, from the index.
"""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.user.pages import ROOT
from tests.user.session import Session
from zoo import __version__

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
WEIGHTS = 20_000_000  # bytes of the catalogue's tensors in the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(words, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def environment(folder: Path) -> Path:
    """The interpreter of a new one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / ("Scripts" if sys.platform == "win32" else "bin") / Path(sys.executable).name


@pytest.fixture(scope="module")
def terminal(wheel, tmp_path_factory) -> Session:
    """Only the wheel is installed, with the dependencies of this environment."""
    python = environment(tmp_path_factory.mktemp("environment"))
    subprocess.run([*PIP, "--python", str(python), "install", "--no-deps", str(wheel)], check=True, capture_output=True)
    places = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    Path(places.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return Session(tmp_path_factory.mktemp("user"), python)


@pytest.fixture(scope="module")
def trained(terminal) -> Session:
    """After the first training."""
    terminal.type("gan-zoo train nsgan --data digits --budget.kimg 100")
    return terminal


ALONE = """
import sys
from importlib.util import find_spec
import zoo, zoo.callbacks, zoo.datamodules, zoo.run.loggers
print(zoo.__path__, zoo.datamodules.__file__)
assert not any(map(find_spec, ("train", "datamodules", "benchmarks")))
assert "wandb" not in sys.modules  # which takes its time, and is imported when a run is opened
"""


def test_nothing_of_the_checkout_is_importable(terminal) -> None:
    assert str(ROOT) not in terminal.python_block(ALONE)


def test_the_wheel_is_complete_and_small(wheel) -> None:
    with zipfile.ZipFile(wheel) as file:
        sizes = {entry.filename: entry.file_size for entry in file.infolist()}
    top = {name.partition("/")[0] for name in sizes}
    assert {name for name in top if not name.endswith(".dist-info")} == {"zoo"}
    for folder, inside in (("zoo", "zoo"), ("datamodules", "zoo/datamodules"), ("configs", "zoo/configs")):
        for path in [
            *ROOT.glob(f"{folder}/**/*.py"),
            *ROOT.glob(f"{folder}/**/*.yaml"),
            *ROOT.glob(f"{folder}/**/*.css"),
        ]:
            assert f"{inside}/{path.relative_to(ROOT / folder).as_posix()}" in sizes
    assert sum(size for name, size in sizes.items() if name.endswith(".safetensors")) <= WEIGHTS


def test_a_user_trains(trained) -> None:
    assert trained.type("gan-zoo --version").strip() == f"gan-zoo {__version__}"
    assert (trained.latest() / "last.ckpt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "gan-zoo --help",
        "gan-zoo models",
        "gan-zoo sample latest -o grid.png && python -c \"import zoo; print(zoo.load('latest').sample(2).shape)\"",
        "gan-zoo train -c configs/wgan_gp.yaml -c configs/data/ring.yaml",
        "gan-zoo train nsgan digits",
        "gan-zoo evaluate latest --n 300",
        "gan-zoo diagnose latest",
        "gan-zoo export latest my_gan",
        "gan-zoo sample ./my_gan -o again.png",
        "gan-zoo compare runs -o compare.html",
        "gan-zoo benchmark digits --dry-run",
        "gan-zoo reproduce wgan_gp-digits",
        "gan-zoo sample wgan_gp-digits -o digits.png",
        "gan-zoo evaluate wgan_gp-digits --data digits --n 300",
        "gan-zoo finetune wgan_gp-digits --data digits",
    ],
)
def test_a_command_works(command, trained) -> None:
    trained.type(command)


@pytest.mark.slow
def test_the_catalogues_other_weights_are_installed_beside_it(terminal) -> None:
    assert "Without weights here: began-fashion_mnist, " in terminal.type("gan-zoo models")
    more = [*PIP, "--python", str(terminal.python), "install", "--no-deps", str(ROOT / "zoo/hub/catalogue_data")]
    subprocess.run(more, check=True, capture_output=True)
    assert "Without weights" not in terminal.type("gan-zoo models")
    terminal.type("gan-zoo sample began-fashion_mnist -o began.png")


@pytest.mark.slow
def test_the_index_has_all_that_the_wheel_needs(wheel, tmp_path) -> None:
    python = environment(tmp_path / "environment")
    done = subprocess.run([*PIP, "--python", str(python), "install", str(wheel)], capture_output=True, text=True)
    if done.returncode and any(
        words in done.stderr for words in ("NewConnectionError", "Temporary failure", "timed out")
    ):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr[-2000:]
    (tmp_path / "user").mkdir()
    user = Session(tmp_path / "user", python)
    user.type("gan-zoo train nsgan --data digits")
    user.type("gan-zoo sample latest -o grid.png")
    user.type("gan-zoo compare runs -o compare.html")
