"""Several players with an optimiser each, on Lightning's manual optimisation: gradients, steps, counts and saves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from zoo import distributed
from zoo.noise import Noise, generator_states, restore_generators
from zoo.nonfinite import EVERY, POLICIES, Monitor, Policy, masked, overflowed
from zoo.optim import Adam
from zoo.schedules import Schedule
from zoo.support.average import Average
from zoo.support.batches import check_batch
from zoo.support.checks import check_optimizer, check_schedule
from zoo.support.described import Described
from zoo.support.forms import RESUMED, game_form, misfit
from zoo.support.freezing import Buffers, freeze, frozen, running_statistics
from zoo.support.initial import InitFrom
from zoo.support.moments import bring
from zoo.types import Output, Terms, Turn


class ManualTraining(Described, LightningModule, ABC):
    """Optimiser steps, counters, logs and checkpoints of several players; the losses are defined by `GAN`.

    Lightning counts every optimiser's step in `global_step`. Here `strategy.optimizer_step` is called, which counts
    nothing, and `count` adds one per batch. So `global_step`, the loggers' step, `max_steps` and checkpoint intervals
    all count batches.

    Args:
        g_optimizer: makes an optimiser from parameters, for the players of G's turns. None is the paper's own,
            `default_optimizer`.
        d_optimizer: the same for the players of D's turns.
        g_scheduler: kimg to a factor on the learning rates of G's side.
        d_scheduler: the same for D's side.
        beta2_scheduler: kimg to a factor on Adam's 1 - β₂, for both sides.
        ema_decay: in [0, 1): average the generator's weights with this decay per generator move, and sample from the
            average. Early on the decay is (1 + t) / (10 + t) after t moves if that is smaller; buffers are copied.
        ema_half_life_kimg: in place of `ema_decay`, a half-life; followed at every batch.
        ema_scheduler: kimg to a factor on `ema_half_life_kimg`.
        clip_norm: scale each player's gradient down to this norm where it is larger.
        compile: pass every player through `torch.compile` when training begins; the first steps then take minutes.
        init_from: a trained GAN to start from; `zoo.hub.finetune.begin` loads it, and the command line calls that.
        nonfinite: a move whose terms or gradients are not finite is skipped. `stop` ends the fit within 50
            steps, with a FloatingPointError after all is saved; `skip` goes on and logs their number, nonfinite/moves.
    """

    default_optimizer: ClassVar[OptimizerCallable] = Adam
    default_g_optimizer: ClassVar[OptimizerCallable | None] = None  # for G's side, where a paper has two

    def __init__(
        self, *, g_optimizer: OptimizerCallable | None = None, d_optimizer: OptimizerCallable | None = None,
        g_scheduler: Schedule | None = None, d_scheduler: Schedule | None = None,
        beta2_scheduler: Schedule | None = None, ema_decay: float | None = None,
        ema_half_life_kimg: float | None = None, ema_scheduler: Schedule | None = None, clip_norm: float | None = None,
        compile: bool = False, init_from: InitFrom | str | None = None, nonfinite: Policy = "stop",
    ) -> None:  # fmt: skip
        super().__init__()
        name, own = type(self).__name__, type(self)
        default, g_default = own.default_optimizer, own.default_g_optimizer or own.default_optimizer
        self.make_optimizer = {"d": d_optimizer or default, "g": g_optimizer or g_default}
        self.schedules, self.beta2_schedule = {"d": d_scheduler, "g": g_scheduler}, beta2_scheduler
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"{name}: clip_norm must be above 0, got {clip_norm}")
        if nonfinite not in POLICIES:
            raise ValueError(f"{name}: unknown nonfinite {nonfinite!r}; choose from {', '.join(POLICIES)}")
        for side in ("d", "g"):
            check_schedule(self.schedules[side], f"{name}: {side}_scheduler")
            place, betas = f"{name}: {side}_optimizer", beta2_scheduler is not None
            check_optimizer(self.make_optimizer[side], place, betas=betas)
        check_schedule(beta2_scheduler, f"{name}: beta2_scheduler")
        check_schedule(ema_scheduler, f"{name}: ema_scheduler")
        try:
            self.average = Average(ema_decay, ema_half_life_kimg, ema_scheduler)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        self.automatic_optimization = False
        self.clip_norm, self.compiled = clip_norm, compile
        self.nonfinite, self.monitor, self.failure = nonfinite, Monitor(), ""
        self.steps = self.images = self.g_moves = self.total_moves = self.skipped = 0
        self.noise = Noise(torch.initial_seed() % 2**63)
        self.init_from = InitFrom(init_from) if isinstance(init_from, str) else init_from
        self.initialized = self.init_from is None  # whether the networks have their initial weights
        self.frozen_names: Sequence[str] = ()
        self.latest: dict[str, Tensor | float] = {}  # the next row of the log
        self.outputs: dict[str, dict[str, Output]] = {}  # D's last, by turn and role, detached
        self._resumed: dict[str, Any] | None = None  # from a checkpoint, until training goes on

    @abstractmethod
    def players(self) -> dict[str, nn.Module]:
        """The networks that move, each with an optimiser of its own."""

    @abstractmethod
    def turns(self) -> tuple[Turn, ...]:
        """The kinds of move, in the order of a round."""

    @property
    def kimg(self) -> float:
        """Thousands of real images seen so far, over all ranks."""
        return self.images / 1000

    # One move: gradients, then a step.

    def parameters_of(self, movers: Sequence[str]) -> list[nn.Parameter]:
        """These players' parameters that are not frozen."""
        return [p for name in movers for p in self.players()[name].parameters() if p.requires_grad]

    def buffers_of(self, movers: Sequence[str]) -> Buffers:
        """A copy of these players' buffers, which can be restored."""
        return Buffers(self.players()[name] for name in movers)

    @contextmanager
    def frozen_but(self, movers: Sequence[str], differentiates: Sequence[str] = ()) -> Iterator[None]:
        """Inside, other players but those in `differentiates` are frozen; the others' buffers are restored after."""
        others = [name for name in self.players() if name not in movers]
        before = self.buffers_of(others)
        try:
            with frozen(self.parameters_of([name for name in others if name not in differentiates])):
                yield
        finally:
            before.restore()

    def backpropagate(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        """Set `.grad` of these parameters only; by Lightning's `manual_backward` where a trainer is attached."""
        for parameter in parameters:
            parameter.grad = None
        if not parameters:  # all frozen by the user
            return
        if self._trainer is None:
            torch.autograd.backward(loss, inputs=list(parameters))
            return
        # Ranks average the movers' gradients in `optimize`; Lightning's own exchange would send every parameter.
        with getattr(self.trainer.strategy, "block_backward_sync", nullcontext)():
            self.manual_backward(loss, inputs=list(parameters))

    def optimize(self, turn: Turn, terms: Terms) -> Tensor:
        """Step the movers' optimisers on the mean of their gradients over ranks, unless one of them is not finite.

        Returns:
            1.0 where the move was skipped, else 0.0: a scalar on the device.
        """
        self.total_moves += 1
        parameters = self.parameters_of(turn.movers)
        gradients = [p.grad for p in parameters if p.grad is not None]
        running = running_statistics(self.players()[name] for name in turn.movers)
        distributed.average([*gradients, *running, *(value.detach() for value in terms.values())])
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None  # which checks for itself
        skipped = self.monitor.check(turn.name, self.images, terms, () if scaled else parameters)
        for name in turn.movers:
            optimizer = self.optimizer_of(name)
            self._follow_schedules(name, optimizer, self.schedules[turn.side])
            with nullcontext() if scaled else masked(optimizer, skipped):
                self.trainer.strategy.optimizer_step(optimizer, lambda: None)
        return skipped

    def _follow_schedules(self, name: str, optimizer: torch.optim.Optimizer, rate: Schedule | None) -> None:
        """Set and log the learning rate, and β₂ where it is scheduled."""
        for group in optimizer.param_groups:
            if rate is not None:
                group["lr"] = group["initial_lr"] * rate(self.kimg)
            if self.beta2_schedule is not None:
                beta1, beta2 = group["initial_betas"]
                beta2 = 1 - (1 - beta2) * self.beta2_schedule(self.kimg)
                if not 0 <= beta2 < 1:
                    raise ValueError(
                        f"{type(self).__name__}: beta2_scheduler gives β₂ = {beta2:g} at {self.kimg:g} kimg; it must "
                        "be in [0, 1): the factor is on 1 - β₂"
                    )
                group["betas"] = (beta1, beta2)
                self.latest[f"beta2/{name}"] = beta2
        self.latest[f"lr/{name}"] = optimizer.param_groups[0]["lr"]

    def optimizer_of(self, name: str) -> torch.optim.Optimizer:
        """A player's optimiser."""
        return self.trainer.optimizers[list(self.players()).index(name)]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip. Lightning calls this in `strategy.optimizer_step`, once gradients are unscaled."""
        if self.clip_norm is not None:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.clip_norm)

    # One batch.

    def count(self, images: int) -> None:
        """Count one batch of `images` per rank; log every `log_every_n_steps` batches."""
        self.steps += 1
        self.images += images * self.trainer.world_size
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        progress.increment_completed()
        if self.steps % EVERY == 0:
            self.check_skipped()
        if self._writes_row():
            kimg = torch.tensor(self.kimg, dtype=torch.float64)  # float32 would not be sorted beside other rows
            self.log_dict({"progress/kimg": kimg, **self.latest}, sync_dist=self.trainer.world_size > 1)

    def check_skipped(self) -> None:
        """Stop, or warn once, if a move was skipped since the last check.

        Raises:
            FloatingPointError: a weight is not finite, which a step on finite gradients has caused.
        """
        if name := overflowed(self.named_parameters()):
            raise FloatingPointError(
                f"{type(self).__name__}: {name} overflowed at {self.kimg:g} kimg, though the gradients did not; the "
                "checkpoint before this is whole; lower the learning rates or the weight decay"
            )
        count, cause = self.monitor.read({p: name for name, p in self.named_parameters()})
        if not count:
            return
        first, self.skipped = self.skipped == 0, self.skipped + count
        self.latest["nonfinite/moves"] = float(self.skipped)
        message = f"{type(self).__name__}: {cause}; no weight took it"
        if self.nonfinite == "stop":
            self.trainer.should_stop = True
            self.failure = self.failure or (
                f"{message}, and training stopped with the last good ones saved; lower the learning rates, set "
                "clip_norm, or go on without such moves with nonfinite: skip"
            )
        elif first:
            rank_zero_warn(f"{message}, and training goes on; nonfinite/moves counts such moves")

    def _writes_row(self) -> bool:
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return bool(every) and self.steps % every == 0

    # Lightning's hooks.

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One per player, made by `d_optimizer` or `g_optimizer` after the side of the first turn that moves it."""
        sides = {name: turn.side for turn in reversed(self.turns()) for name in turn.movers}
        made = [self.make_optimizer[sides.get(name, "g")](net.parameters()) for name, net in self.players().items()]
        for optimizer in made:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
                if self.beta2_schedule is not None:
                    group.setdefault("initial_betas", group["betas"])
        self._settings = [[{k: v for k, v in g.items() if k != "params"} for g in o.param_groups] for o in made]
        return made

    def on_fit_start(self) -> None:
        """Give every rank its rows of one stream of noise; compile."""
        if not self.initialized and self.init_from is not None:
            raise ValueError(
                f"{type(self).__name__}: nothing was loaded from init_from {self.init_from.ref!r} yet; "
                "call zoo.hub.finetune.begin(gan) before fit"
            )
        if self.compiled:
            for net in self.players().values():
                net.compile()
        self.noise = Noise(
            self.trainer.strategy.broadcast(self.noise.seed),
            rank=self.global_rank,
            world_size=self.trainer.world_size,
            device=self.device,
        )
        if self._resumed is not None:
            self.trainer.callback_metrics.update({k: v.to(self.device) for k, v in self._resumed["metrics"].items()})

    def on_train_start(self) -> None:
        """Restore the rest of a checkpoint's state; the last hook before the first batch.

        A resumed optimiser keeps its moments, and takes its present settings in place of the saved ones.
        """
        self._seen = False
        for optimizer, settings in zip(self.trainer.optimizers, self._settings, strict=True):
            for group, present in zip(optimizer.param_groups, settings, strict=True):
                group.update(present)
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        if self.clip_norm is not None and scaled and any(o.defaults.get("fused") for o in self.trainer.optimizers):
            raise ValueError(
                f"{type(self).__name__}: clip_norm would clip scaled gradients under a loss scaler, since a fused "
                "optimiser unscales them later; set fused: false, or precision bf16-mixed"
            )
        if self._resumed is not None:
            self._resume(self._resumed)
            self._resumed = None

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Look at the first batch of a fit."""
        if not self._seen:
            check_batch(batch, getattr(self.generator, "num_classes", None))
            self._seen = True

    def _resume(self, saved: dict[str, Any]) -> None:
        """Restore the log's values, D's scores and, on as many ranks, the global generators."""
        rank, size = self.trainer.global_rank, self.trainer.world_size
        self.latest = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in saved["latest"].items()}
        self.outputs = {
            turn: {role: Output(score.tensor_split(size)[rank].to(self.device), {}) for role, score in scores.items()}
            for turn, scores in saved["scores"].items()
        }
        if len(saved["generators"]) == size:
            restore_generators(saved["generators"][rank], self.device)
        if self._writes_row():  # the checkpoint precedes the row of its step, which a kill may have prevented
            values = {k: torch.as_tensor(v) for k, v in self.latest.items()}  # as Lightning's log makes them
            row = {"progress/kimg": self.kimg, "epoch": self.trainer.current_epoch, **values}
            for logger in self.trainer.loggers:
                if hasattr(logger, "complete"):
                    logger.complete(row, step=self.steps - 1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Counters and seed; the log's values and D's scores, over all ranks; each rank's global generators."""
        self.check_skipped()
        distributed.broadcast_buffers(self)
        state = {
            "latest": {k: distributed.mean(v) if isinstance(v, Tensor) else v for k, v in self.latest.items()},
            "scores": {t: {r: distributed.gather(o.score) for r, o in out.items()} for t, out in self.outputs.items()},
            "generators": distributed.collect(generator_states(self.device)),
        }
        checkpoint["game"] = {
            "steps": self.steps,
            "images": self.images,
            "g_moves": self.g_moves,
            "moves": self.total_moves,
            "left_out": self.skipped,
            "seed": self.noise.seed,
            "frozen": list(self.frozen_names),
            "moments": [len(optimizer.state) for optimizer in self.trainer.optimizers],
            **(self._resumed or state),
            "metrics": dict(self.trainer.callback_metrics),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the counters and the seed; freeze the parts named by `init_from`, else those the checkpoint lists.

        The networks come from the checkpoint, so nothing else of `init_from` is read again.

        Raises:
            ValueError: this state, or in a fit the optimisers' moments, are not those of this game.
        """
        if self._trainer is not None:  # before the weights come: as 64 bits would lose half of theirs
            self.trainer.precision_plugin.convert_module(self)
        game = checkpoint.get("game")
        if not isinstance(game, dict):
            raise ValueError("this checkpoint was not written by the zoo: it has no 'game' entry")
        found = misfit(game, game_form(game, self.turns()), "game")
        if not found and self._trainer is not None and self.trainer.training:
            found = bring(checkpoint, self.players(), self.configure_optimizers())
        if found:
            raise ValueError(found)
        self.steps, self.images = game["steps"], game["images"]
        self.g_moves, self.noise = game["g_moves"], Noise(game["seed"])
        self.total_moves, self.skipped = game.get("moves", 0), game.get("left_out", 0)
        self.freeze_parts(game.get("frozen", ()) if self.init_from is None else self.init_from.freeze)
        self.initialized = True
        self._resumed = {k: game[k] for k in RESUMED} if all(k in game for k in RESUMED) else None

    def freeze_parts(self, names: Sequence[str]) -> None:
        """Freeze modules or parameters for good, see `zoo.support.freezing.freeze`; checkpoints keep the names."""
        try:
            freeze(self, self.players(), names)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {error}") from None
        self.frozen_names = names

    def on_train_end(self) -> None:
        """Fail, now that everything is saved, if a move that was not finite stopped the run, or most were skipped."""
        self.check_skipped()
        if self.skipped > self.total_moves / 2:
            self.failure = self.failure or (
                f"{type(self).__name__}: {self.skipped} of {self.total_moves} moves were not finite and were skipped; "
                "this run has hardly trained"
            )
        if self.failure:
            raise FloatingPointError(self.failure)

    def on_validation_model_zero_grad(self) -> None:
        """Keep the gradients, which the diagnosis reads; a move sets its own anew."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing: callbacks measure."""

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing: callbacks measure."""
