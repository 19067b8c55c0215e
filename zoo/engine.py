"""Players with an optimiser each, under Lightning's manual optimisation: the one place that steps, counts and saves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from inspect import Parameter, signature
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from zoo import ranks
from zoo.described import Described
from zoo.freezing import Snapshot, freeze, running_statistics, unset
from zoo.guard import EVERY, POLICIES, Guard, Policy, withheld
from zoo.initial import InitFrom
from zoo.noise import Noise
from zoo.overhead import (
    keep_memory,
    remember_signature,
    skip_empty_profiler,
    skip_graph_capture_check,
    unobserved,
)
from zoo.resuming import KEPT, keep, take_back
from zoo.schedules import Schedule
from zoo.types import Terms, Verdict, total

_PLAIN = (str, int, float, bool, type(None))


class Engine(Described, LightningModule, ABC):
    """Knows that there are players; nothing of what they play.

    Lightning counts every optimiser's step in `global_step`. Here the optimisers step through the strategy, which
    counts nothing, and `count` adds one a batch, so that `global_step`, batches, the loggers' step, `max_steps` and
    checkpoint intervals are one number.
    """

    def __init__(
        self,
        optimizers: dict[str, OptimizerCallable],
        schedules: dict[str, Schedule | None],
        clip_norm: float | None,
        compile: bool,
        init_from: InitFrom | str | None,
        nonfinite: Policy,
    ) -> None:
        super().__init__()
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"{type(self).__name__}: clip_norm must be above 0, got {clip_norm}")
        if nonfinite not in POLICIES:
            choices = ", ".join(POLICIES)
            raise ValueError(f"{type(self).__name__}: unknown nonfinite {nonfinite!r}; choose from {choices}")
        for side, schedule in schedules.items():
            wrong = not callable(schedule) or isinstance(schedule, type | torch.optim.lr_scheduler.LRScheduler)
            if schedule is not None and wrong:
                raise ValueError(
                    f"{type(self).__name__}: {side}_scheduler must be a function of kimg, as Linear, Step and Cosine "
                    f"of zoo.schedules, got {schedule!r:.80}"
                )
        self.automatic_optimization = False
        self._makers, self._schedules, self.clip_norm, self.compiled = optimizers, schedules, clip_norm, compile
        self._try_optimizers()
        self.nonfinite, self.guard, self.failure = nonfinite, Guard(), ""
        self.steps = self.images = self.g_moves = self.left_out = 0
        self.noise = Noise(torch.initial_seed() % 2**63)
        self.init_from = InitFrom(init_from) if isinstance(init_from, str) else init_from
        self.begun = self.init_from is None  # whether the networks have what they start from
        self.frozen_names: Sequence[str] = ()
        self.latest: dict[str, Tensor | float] = {}
        self.verdicts: dict[str, dict[str, Verdict]] = {}  # the last of each turn: "real" and "fake", detached
        self._kept: dict[str, Any] | None = None  # from a checkpoint, until training goes on
        self._parts: dict[tuple[str, ...], tuple[list[nn.Parameter], list[nn.Module]]] = {}
        self._names: list[str] = []
        self._unobserved = False  # whether Lightning has no part in backward passes and steps

    def __setattr__(self, name: str, value: Any) -> None:
        """As in any module, but where one plain value replaces another nothing is searched: 40 times a step."""
        if type(value) in _PLAIN and name in self.__dict__:
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @abstractmethod
    def players(self) -> dict[str, nn.Module]:
        """Who can move; each has one optimiser. A name that begins with d takes D's settings, any other G's."""

    def names(self) -> list[str]:
        """Those of the players, looked up once a fit."""
        if not self._names:
            self._names = list(self.players())
        return self._names

    @property
    def kimg(self) -> float:
        """Thousands of real images dealt so far, over all ranks."""
        return self.images / 1000

    def differentiate(self, terms: Terms, movers: Sequence[str]) -> Callable[[], None]:
        """Set these players' gradients of the sum of the terms; gradients and terms become their means over ranks.

        No other gradient is touched, and only the movers' cross the ranks, in one exchange: Lightning's own would send
        every parameter. Call the result to wait for it.
        """
        parameters = self.parameters_of(movers)
        if not parameters:  # all frozen by the user
            return nothing
        for parameter in parameters:
            parameter.grad = None
        if self._unobserved:
            torch.autograd.backward(total(terms), inputs=parameters)
        else:
            unsynced = getattr(self.trainer.strategy, "block_backward_sync", nullcontext)
            with unsynced():
                self.manual_backward(total(terms), inputs=parameters)
        return self.exchange(terms, movers)

    def exchange(self, terms: Terms, movers: Sequence[str]) -> Callable[[], None]:
        """Replace by their means over ranks: the movers' gradients and running statistics, and the terms' values.

        It is begun; call the result to wait for it.
        """
        if ranks.world_size() == 1:
            return nothing
        gradients = [ranks.as_stored(p.grad, p) for p in self.parameters_of(movers) if p.grad is not None]
        running = running_statistics(self.parts_of(*movers)[1])
        return ranks.average([*gradients, *running, *(value.detach() for value in terms.values())])

    def update(self, turn: str, terms: Terms, movers: Sequence[str]) -> Tensor:
        """Step these players' optimisers on the gradients they have, unless one of them or a term is not finite.

        Returns:
            1.0 where the move was left out, else 0.0: a scalar on the device, for nobody to wait for.
        """
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        left_out = self.guard.watch(turn, self.images, terms, () if scaled else self.parameters_of(movers))
        takes_it = scaled or unset(left_out)
        for name in movers:
            optimizer = self.optimizer_of(name)
            self._set_rate(name, optimizer)
            with nullcontext() if takes_it else withheld(optimizer, left_out):
                if self._unobserved:
                    self.on_before_optimizer_step(optimizer)
                    optimizer.step()
                else:
                    self.trainer.strategy.optimizer_step(optimizer, lambda: None)
        return left_out

    def snapshot(self, movers: Sequence[str]) -> Snapshot:
        """These players' buffers as they are."""
        return Snapshot(self.parts_of(*movers)[1])

    def parameters_of(self, movers: Sequence[str]) -> list[nn.Parameter]:
        """What these players would move: their parameters that are not frozen."""
        return [p for p in self.parts_of(*movers)[0] if p.requires_grad]

    def parts_of(self, *names: str) -> tuple[list[nn.Parameter], list[nn.Module]]:
        """The parameters of players, or of submodules, and their modules that have buffers; looked up once a fit."""
        if names not in self._parts:
            nets = [self.players().get(name) or self.get_submodule(name) for name in names]
            modules = [module for net in nets for module in net.modules()]
            self._parts[names] = [p for net in nets for p in net.parameters()], [m for m in modules if m._buffers]
        return self._parts[names]

    def freeze_parts(self, names: Sequence[str]) -> None:
        """Keep modules or parameters as they are for good, see `zoo.freezing.freeze`; checkpoints remember them."""
        try:
            freeze(self, self.players(), names)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {error}") from None
        self.frozen_names = names

    def optimizer_of(self, name: str) -> torch.optim.Optimizer:
        """A player's optimiser."""
        return self.trainer.optimizers[self.names().index(name)]

    def count(self, images: int) -> None:
        """One batch more, with this many images on each rank; logs on the steps that will be written."""
        self.steps += 1
        self.images += images * self.trainer.world_size
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        progress.increment_completed()
        if self.steps % EVERY == 0:
            self._heed()
        if self._writes_row():
            kimg = torch.tensor(self.kimg, dtype=torch.float64)  # float32 would not be sorted beside other rows
            row = {"progress/kimg": kimg, **self.latest}
            self.log_dict(row, sync_dist=self.trainer.world_size > 1)

    def _writes_row(self) -> bool:
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return bool(every) and self.steps % every == 0

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimiser a player."""
        made = []
        for name, net in self.players().items():
            optimizer = self._makers[_side(name)](net.parameters())
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
            made.append(optimizer)
        self._settings = [
            [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            for optimizer in made
        ]
        return made

    def on_train_start(self) -> None:
        """Go on from a checkpoint, last of all that is done before the first batch.

        A resumed optimiser keeps its moments, and takes the settings of now rather than those it was saved with.
        """
        skip_graph_capture_check(self.trainer.optimizers)
        self._unobserved = unobserved(self)
        for optimizer, settings in zip(self.trainer.optimizers, self._settings, strict=True):
            for group, told in zip(optimizer.param_groups, settings, strict=True):
                group.update(told)
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        if self.clip_norm is not None and scaled and any(o.defaults.get("fused") for o in self.trainer.optimizers):
            raise ValueError(
                f"{type(self).__name__}: clip_norm would clip scaled gradients under a loss scaler, since a fused "
                "optimiser unscales them later; set fused: false, or precision bf16-mixed"
            )
        if self._kept is not None:
            take_back(self, self._kept)
            self._kept = None
            self._complete_log()

    def _complete_log(self) -> None:
        """A checkpoint is written before the row of its step: tell it to loggers that can look whether they have it."""
        if self._writes_row():
            values = {k: torch.as_tensor(v) for k, v in self.latest.items()}  # which Lightning's log makes of them too
            row = {"progress/kimg": self.kimg, "epoch": self.trainer.current_epoch, **values}
            for logger in self.trainer.loggers:
                if hasattr(logger, "complete"):
                    logger.complete(row, step=self.steps - 1)

    def on_fit_start(self) -> None:
        """Give every rank its rows of one stream of noise; compile; spare what costs without use."""
        if not self.begun and self.init_from is not None:
            raise ValueError(
                f"{type(self).__name__}: nothing was loaded from init_from {self.init_from.ref!r} yet; "
                "call zoo.hub.finetune.begin(gan) before fit"
            )
        self._parts.clear()
        self._names.clear()
        skip_empty_profiler(self.trainer)
        remember_signature(self)
        if self.device.type == "cpu":
            keep_memory()
        if self.compiled:
            for net in self.players().values():
                net.compile()
        self.noise = Noise(
            self.trainer.strategy.broadcast(self.noise.seed),
            rank=self.global_rank,
            world_size=self.trainer.world_size,
            device=self.device,
        )
        if self._kept is not None:
            self.trainer.callback_metrics.update({k: v.to(self.device) for k, v in self._kept["metrics"].items()})

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip, once gradients are unscaled."""
        if self.clip_norm is not None:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.clip_norm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the counters, the seed, and what else a run goes on with, after a last look at its moves."""
        self._heed()
        ranks.broadcast_buffers(self)
        checkpoint["game"] = {
            "steps": self.steps,
            "images": self.images,
            "g_moves": self.g_moves,
            "left_out": self.left_out,
            "seed": self.noise.seed,
            "frozen": list(self.frozen_names),
            **(self._kept or keep(self)),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the counters and the seed back; freeze what `init_from` says, or what was frozen if there is none.

        The networks come from the checkpoint, so `init_from` is not read again.
        """
        game = checkpoint.get("game")
        if game is None:
            raise ValueError("this checkpoint was not written by the zoo: it has no 'game' entry")
        self.steps, self.images = game["steps"], game["images"]
        self.g_moves, self.noise = game["g_moves"], Noise(game["seed"])
        self.left_out = game.get("left_out", 0)
        self.freeze_parts(game.get("frozen", ()) if self.init_from is None else self.init_from.freeze)
        self.begun = True
        self._kept = {name: game[name] for name in KEPT} if all(name in game for name in KEPT) else None

    def on_train_end(self) -> None:
        """Fail, now that everything is saved, if this is what stopped the run."""
        self._heed()
        if self.failure:
            raise FloatingPointError(self.failure)

    def _heed(self) -> None:
        """Stop, or say so, if a move was left out since this was last asked."""
        count, first = self.guard.read({p: name for name, p in self.named_parameters()})
        if not count:
            return
        warned, self.left_out = self.left_out > 0, self.left_out + count
        self.latest["nonfinite/moves"] = float(self.left_out)
        told = f"{type(self).__name__}: {first}; no weight took it"
        if self.nonfinite == "stop":
            self.trainer.should_stop = True
            self.failure = self.failure or (
                f"{told}, and training stopped with the last good ones saved; lower the learning rates, set clip_norm, "
                "or go on without such moves with nonfinite: skip"
            )
        elif not warned:
            rank_zero_warn(f"{told}, and training goes on; nonfinite/moves counts such moves")

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing: callbacks measure."""

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing: callbacks measure."""

    def _try_optimizers(self) -> None:
        """Refuse impossible settings now, rather than when training begins."""
        for side, make in self._makers.items():
            place = f"{type(self).__name__}: {side}_optimizer"
            try:
                made = make([nn.Parameter(torch.zeros(1))])
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
            closure = signature(made.step).parameters.get("closure")
            if closure is not None and closure.default is Parameter.empty:
                raise ValueError(
                    f"{place}: {type(made).__name__} evaluates the loss again within a step, and a move has one "
                    "evaluation; use zoo.optim.Adam, or AdamW, RMSprop or SGD of torch.optim"
                )

    def _set_rate(self, name: str, optimizer: torch.optim.Optimizer) -> None:
        schedule = self._schedules[_side(name)]
        if schedule is not None:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * schedule(self.kimg)
        self.latest[f"lr/{name}"] = optimizer.param_groups[0]["lr"]


def nothing() -> None:
    """For whoever has nothing to do, or nothing to wait for."""


def _side(player: str) -> str:
    return "d" if player.startswith("d") else "g"
