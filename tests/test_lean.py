"""What no run needs is not imported, and whoever asks for it gets it."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parent.parent
FIT = """
import sys
from zoo.cli import main
main(["fit", "-c", "configs/wgan_gp.yaml", "-c", "configs/data/digits.yaml", "--trainer.accelerator=cpu",
      "--trainer.default_root_dir=RUNS", "--trainer.max_steps=1"])
"""
REAL = """
import scipy, sys
from scipy.signal import butter
import scipy.signal as signal
assert signal is scipy.signal is sys.modules["scipy.signal"] and type(signal).__name__ == "module"
assert signal.butter is butter and len(butter(2, 0.1)[0]) == 3
assert signal.windows is sys.modules["scipy.signal.windows"]
"""
PLOT = """
import os
os.environ["MPLBACKEND"] = "Agg"
import zoo.gan
import torch, torchmetrics
from torchmetrics.classification import BinaryConfusionMatrix, BinaryROC
assert "matplotlib" not in sys.modules or "matplotlib.axes" in sys.modules
scores, labels = torch.tensor([0.1, 0.8, 0.6]), torch.tensor([0, 1, 0])
for metric in (torchmetrics.MeanMetric(), BinaryConfusionMatrix(), BinaryROC()):
    metric.update(*[scores, labels][:1 + isinstance(metric, (BinaryConfusionMatrix, BinaryROC))])
    figure, axes = metric.plot()
    assert type(figure).__module__ == "matplotlib.figure"
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
assert isinstance(axes, Axes) and plt.fignum_exists(figure.number)
both = torchmetrics.MetricCollection([torchmetrics.MeanMetric(), torchmetrics.MaxMetric()])
both.update(scores)
_, axes = plt.subplots()
assert both.plot(ax=axes, together=True)[1] is axes
try:
    both.plot(ax="axes", together=True)
except ValueError as error:
    assert "matplotlib axis object" in str(error)
else:
    raise AssertionError
from torchmetrics.utilities import plot
assert plot is sys.modules["torchmetrics.utilities.plot"] is torchmetrics.utilities.plot and plot._AX_TYPE is Axes
"""


def run(code: str, folder: Path, *before: Path) -> str:
    """What a fresh interpreter prints that may import what is in the folders."""
    path = os.pathsep.join(map(str, (*before, ROOT)))
    environment = {**os.environ, "PYTHONPATH": path, "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    code = dedent(code).replace("RUNS", str(folder))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.fixture
def host(tmp_path: Path):
    """Write a package `torchmetrics` of the given lines."""

    def write(code: str) -> Path:
        (tmp_path / "host" / "torchmetrics").mkdir(parents=True)
        (tmp_path / "host" / "torchmetrics" / "__init__.py").write_text(dedent(code))
        return tmp_path / "host"

    return write


def test_a_fit_runs_without_and_whoever_asks_later_gets_the_real_thing(tmp_path):
    loaded = "assert not {'scipy.signal', 'scipy.stats', 'sklearn', 'matplotlib'} & set(sys.modules)"
    traceless = """
    import inspect, pickle, torchmetrics
    assert not any(type(finder).__module__ == "zoo.lean" for finder in sys.meta_path)
    assert torchmetrics.__spec__.loader is torchmetrics.__loader__ and "hamming" in inspect.getsource(torchmetrics)
    assert "signal" not in vars(torchmetrics.scipy)
    metric = pickle.loads(pickle.dumps(torchmetrics.MeanMetric()))
    metric.update(3.0)
    assert metric.compute() == 3
    """
    run(FIT + loaded + dedent(traceless) + REAL + PLOT, tmp_path)


@pytest.mark.parametrize("first", ["import lightning.pytorch", "import scipy.signal"])
def test_nothing_changes_for_what_was_imported_before_the_zoo(first, tmp_path):
    code = f"""
    {first}
    import scipy.signal as before
    import zoo.gan
    import scipy.signal as after
    assert before is after and hasattr(after, "hamming") and after.hamming is after.windows.hamming
    """
    run(dedent(code) + REAL, tmp_path)


def test_what_asks_for_more_while_torchmetrics_is_imported_gets_it(tmp_path, host):
    asks = """
    import inspect, scipy.signal
    import threading
    inspect.getmodule(inspect.currentframe())  # looks at every module
    assert hasattr(scipy.signal, "hamming") and "scipy.signal._signal_api" not in __import__("sys").modules
    found = []
    def ask():
        import scipy.signal.windows
        from scipy.signal.windows import hann
        from scipy.signal import butter
        found.extend([hann, butter, scipy.signal.windows.hann])
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    """
    code = """
    import zoo, torchmetrics
    from scipy.signal import butter
    import scipy.signal
    assert len(torchmetrics.found) == 24
    assert set(torchmetrics.found) == {scipy.signal.windows.hann, butter}
    """
    run(dedent(code) + REAL, tmp_path, host(asks))


def test_a_module_kept_from_that_time_still_gives_everything(tmp_path, host):
    keeps = """
    from scipy import signal as kept
    from scipy.signal import *
    """
    code = """
    import zoo, torchmetrics
    from scipy.signal import butter
    assert torchmetrics.kept.butter is torchmetrics.butter is butter
    """
    run(dedent(code) + REAL, tmp_path, host(keeps))


@pytest.mark.parametrize("first", ["import zoo", "import lightning.pytorch", "import matplotlib.pyplot"])
def test_torchmetrics_plots_in_any_order(first, tmp_path):
    run(f"import sys\n{first}{PLOT}", tmp_path)


def test_the_plots_are_reached_without_an_import(tmp_path):
    code = """
    import sys, zoo, torchmetrics
    assert "matplotlib" not in sys.modules
    assert torchmetrics.utilities.plot.trim_axs.__module__ == "torchmetrics.utilities.plot"
    assert "matplotlib.pyplot" in sys.modules
    """
    run(code, tmp_path)


def test_without_matplotlib_torchmetrics_says_so(tmp_path):
    code = """
    import importlib.metadata as metadata, sys
    sys.modules["matplotlib"] = None
    version = metadata.version
    def without(name):
        if name == "matplotlib":
            raise metadata.PackageNotFoundError(name)
        return version(name)
    metadata.version = without
    import zoo.gan, torchmetrics
    assert torchmetrics.utilities.plot._AX_TYPE is object
    metric = torchmetrics.MeanMetric()
    metric.update(1.0)
    try:
        metric.plot()
    except ModuleNotFoundError as error:
        print(error)
    """
    assert "pip install matplotlib" in run(code, tmp_path)


def test_a_failed_import_leaves_nothing_behind(tmp_path, host):
    code = """
    import zoo
    try:
        import torchmetrics
    except RuntimeError:
        pass
    """
    run(dedent(code) + REAL, tmp_path, host("import scipy.signal\nraise RuntimeError"))


def test_without_scipy_torchmetrics_is_imported_as_ever(tmp_path, host):
    code = """
    import sys
    sys.modules["scipy"] = None
    import zoo, torchmetrics
    assert torchmetrics.here and "scipy.signal" not in sys.modules
    """
    run(code, tmp_path, host("here = True"))
