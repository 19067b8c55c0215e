"""Lightning without what no run needs of it.

Lightning imports torchmetrics, which imports all of `scipy.signal`, 60 MB, only to give it back its old name `hamming`,
and matplotlib, 30 MB, for plots that nobody has asked for. Here it finds two stand-ins: a `scipy.signal` that has the
name, and a module of its own whose plots import the real one when they are called. Once torchmetrics is imported they
are out of the way: whoever imports either module gets it.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
from typing import Any

_HOST = "torchmetrics"
_withdrawing = Lock()


def spare() -> None:
    """Let the first import of torchmetrics find stand-ins; do nothing if it is imported already."""
    if _HOST not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds torchmetrics where it is, and has it run among the stand-ins."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == _HOST else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self)
        return spec


class _Loader(Loader):
    def __init__(self, own: Loader, finder: _Finder) -> None:
        self._own, self._finder = own, finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        module.__loader__ = self._own
        if module.__spec__ is not None:
            module.__spec__.loader = self._own
        with _placed():
            self._own.exec_module(module)


class _StandIn(ModuleType):
    """A module's name and a few attributes; asked for another, it makes way for the module and gives what that has."""

    def __init__(self, name: str, **attributes: Any) -> None:
        super().__init__(name)
        vars(self).update(attributes)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # what is asked of every module in turn, as by inspect
            raise AttributeError(name)
        return getattr(self.real(), name)

    def real(self) -> ModuleType:
        """The module, imported."""
        self.withdraw()
        return import_module(self.__name__)

    def place(self) -> None:
        """Be what is imported under the name, unless the module is there already."""
        if sys.modules.setdefault(self.__name__, self) is self:
            self._offer()

    def withdraw(self) -> None:
        """Let the module be imported, whichever thread comes first."""
        with _withdrawing:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
                self._offer()

    def _offer(self) -> None:
        """Be the package's attribute, as an imported module is, unless the package imports it when asked for it."""
        package, _, name = self.__name__.rpartition(".")
        if package in sys.modules and not hasattr(sys.modules[package], "__getattr__"):
            vars(sys.modules[package]).setdefault(name, self)


class _AxesType(type):
    """Whose instances are matplotlib's axes; there are none before those are imported."""

    def __instancecheck__(cls, instance: object) -> bool:
        axes = sys.modules.get("matplotlib.axes")
        return axes is not None and isinstance(instance, axes.Axes)


class _Axes(metaclass=_AxesType):
    pass


def _signal() -> _StandIn:
    return _StandIn("scipy.signal", hamming=None, __path__=[f"{f}/signal" for f in import_module("scipy").__path__])


def _plots() -> _StandIn:
    stand_in = _StandIn(f"{_HOST}.utilities.plot", _AX_TYPE=_Axes, _CMAP_TYPE=Any, _PLOT_OUT_TYPE=Any)

    def later(name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: getattr(stand_in.real(), name)(*args, **kwargs)

    for name in ("plot_confusion_matrix", "plot_curve", "plot_single_or_multi_val"):
        setattr(stand_in, name, later(name))
    return stand_in


@contextmanager
def _placed() -> Iterator[None]:
    made = {"scipy": _signal, "matplotlib": _plots}
    stand_ins = [make() for package, make in made.items() if sys.modules.get(package) or find_spec(package)]
    for stand_in in stand_ins:
        stand_in.place()
    try:
        yield
    finally:
        for stand_in in stand_ins:
            stand_in.withdraw()
