"""The game that every variant plays: deal a batch, let the players move in turn, count once.

A variant writes its two lines of the loss table (`d_loss`, `g_loss`). The rest of the five choices, backbones,
dynamics, stabilizers and data, are objects handed to it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from typing import Any, ClassVar

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.func import functional_call

from zoo.dynamics import Alternating, Dynamics
from zoo.engine import Engine, nothing
from zoo.freezing import Snapshot, buffers_kept, evaluating, frozen, own_buffers
from zoo.guard import Policy
from zoo.initial import InitFrom
from zoo.noise import Noise
from zoo.optim import Adam
from zoo.schedules import Schedule
from zoo.stabilizers import Stabilizer
from zoo.types import Batch, Critic, Data, Role, State, Terms, Turn, Verdict, total, united

Labels = Tensor | Sequence[int] | int | None


class GAN(Engine):
    """A generator and a discriminator at play; subclass it with the two lines of a loss table.

    From Python it needs its two networks only: `WGANGP(generator, discriminator)` has the paper's constants.

    Args:
        generator: z (N, latent_dim) to images (N, C, H, W) in [-1, 1] or points (N, 2); shows `latent_dim`
            and `num_classes` where it takes labels.
        discriminator: images to scores (N,), or to (scores, features); no sigmoid at its end.
        dynamics: who moves when. None is the paper's own, else one move each.
        stabilizers: applied in order.
        g_optimizer: makes the generator's optimiser from its parameters.
        d_optimizer: makes the discriminator's.
        g_scheduler: kimg to a factor on the generator's learning rate.
        d_scheduler: kimg to a factor on the discriminator's.
        ema_decay: in [0, 1): keep an average of the generator's weights with this decay per generator move, and sample
            from it. Early on the decay is (1 + t) / (10 + t) after t moves if that is smaller, so that short runs
            forget the initial weights; buffers are copied, not averaged.
        clip_norm: scale each player's gradient down to this norm where it is larger.
        compile: pass every player through `torch.compile` when training begins; the first steps then take minutes.
        init_from: a trained GAN to start from; `zoo.hub.finetune.begin` loads it, and the command line calls that.
        nonfinite: a move whose terms or gradients are not finite is left out. `stop` then ends the fit, in 50 steps,
            with a FloatingPointError once all is saved; `skip` goes on and counts them in nonfinite/moves.

    Raises:
        ValueError: where networks, stabilizers and objective do not go together.
    """

    energy_based: ClassVar[bool] = False  # whether D must be an autoencoder that returns energies
    paired: ClassVar[bool] = False  # whether D judges (x, z)
    log_loss: ClassVar[bool] = False  # whether L_D is -E log D(x) - E log(1 - D(G(z))), D(x) = σ(score)

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        dynamics: Dynamics | None = None,
        stabilizers: Sequence[Stabilizer] | None = None,
        g_optimizer: OptimizerCallable = Adam,
        d_optimizer: OptimizerCallable = Adam,
        g_scheduler: Schedule | None = None,
        d_scheduler: Schedule | None = None,
        ema_decay: float | None = None,
        clip_norm: float | None = None,
        compile: bool = False,
        init_from: InitFrom | str | None = None,
        nonfinite: Policy = "stop",
    ) -> None:
        optimizers = {"g": g_optimizer, "d": d_optimizer}
        super().__init__(optimizers, {"g": g_scheduler, "d": d_scheduler}, clip_norm, compile, init_from, nonfinite)
        name = type(self).__name__
        if getattr(discriminator, "energy", False) != self.energy_based:
            wanted = "an autoencoder (zoo.backbones.Autoencoder)" if self.energy_based else "scores, not energies"
            raise ValueError(
                f"{name} cannot use {type(discriminator).__name__} as its discriminator: it needs {wanted}"
            )
        if getattr(discriminator, "paired", False) != self.paired:
            wanted = "pairs (x, z) (zoo.backbones.PairDiscriminator)" if self.paired else "x alone"
            raise ValueError(
                f"{name} cannot use {type(discriminator).__name__} as its discriminator: it needs one of {wanted}"
            )
        latent_dim = getattr(generator, "latent_dim", None)
        if not isinstance(latent_dim, int):
            raise ValueError(f"{name}: {type(generator).__name__} must have latent_dim, the width of its z, as an int")
        classes = [getattr(net, "num_classes", None) for net in (generator, discriminator)]
        if classes[0] != classes[1]:
            raise ValueError(
                f"{name}: num_classes is {classes[0]} for the generator and {classes[1]} for the discriminator"
            )
        if ema_decay is not None and not 0 <= ema_decay < 1:
            raise ValueError(f"{name}: ema_decay must be in [0, 1), got {ema_decay}")
        self.generator, self.discriminator = generator, discriminator
        self.latent_dim = latent_dim
        self.num_classes: int | None = getattr(generator, "num_classes", None)
        self.dynamics = dynamics or Alternating()
        self.stabilizers = nn.ModuleList(stabilizers or ())
        for stabilizer in self._stabilizers():
            stabilizer.prepare(self)
        self.dynamics.prepare(self)
        if compile and (twice := self._differentiating_twice()):
            raise ValueError(
                f"{name}: compile cannot be used with {', '.join(twice)}: torch.compile has no second derivatives"
            )
        self.ema_decay = ema_decay
        self.generator_ema = None if ema_decay is None else deepcopy(generator).requires_grad_(False)

    # Level 1: the loss table.

    @abstractmethod
    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """What D minimises, from scores D(x) and D(G(z)), each (N,); a scalar."""

    @abstractmethod
    def g_loss(self, d_fake: Tensor) -> Tensor:
        """What G minimises, from scores D(G(z)) (N,); a scalar."""

    # Level 2: for papers that change the structure.

    def sample_latent(self, n: int, noise: Noise) -> Tensor:
        """Latents z, (n, latent_dim), standard normal unless a paper says otherwise."""
        return noise.normal(n, self.latent_dim, dtype=self._float)

    def generate(self, z: Tensor, labels: Tensor | None, *, ema: bool = False) -> Tensor:
        """G(z); labels enter only a conditional generator."""
        net = self.generator_ema if ema and self.generator_ema is not None else self.generator
        return net(z) if self.num_classes is None else net(z, labels)

    def given(self, batch: Batch, role: Role) -> tuple[Tensor, ...]:
        """What D sees beside an image: the labels, if it is conditional."""
        conditional = getattr(self.discriminator, "num_classes", None) is not None
        return (batch.labels,) if conditional and batch.labels is not None else ()

    def d_terms(self, critic: Critic, batch: Batch, real: Verdict, fake: Verdict) -> Terms:
        """Named parts of D's loss, scalars."""
        return {"adversarial": self.d_loss(real.score, fake.score)}

    def g_terms(self, critic: Critic, batch: Batch, fake: Verdict) -> Terms:
        """Named parts of G's loss, scalars."""
        return {"adversarial": self.g_loss(fake.score)}

    def turns(self) -> tuple[Turn, ...]:
        """The kinds of move, in the order in which a round plays them."""
        return Turn("d", ("d",), self.d_turn, side="d"), Turn("g", ("g",), self.g_turn, side="g")

    def d_turn(self, critic: Critic, batch: Batch, name: str = "d") -> Terms:
        """All of D's terms on a batch: the objective's and the stabilizers'."""
        real, fake = critic(batch.real, "real"), critic(batch.fake, "fake")
        self.verdicts[name] = {"real": real.detach(), "fake": fake.detach()}
        added = [s.d_terms(critic, batch, real, fake) for s in self._stabilizers()]
        return united(self.d_terms(critic, batch, real, fake), *added)

    def g_turn(self, critic: Critic, batch: Batch, name: str = "g") -> Terms:
        """All of G's terms on a batch: the objective's and the stabilizers'."""
        fake = critic(batch.fake, "fake")
        self.verdicts[name] = {"fake": fake.detach()}
        added = [s.g_terms(critic, batch, fake) for s in self._stabilizers()]
        replaced = any(s.replaces_g_loss for s in self._stabilizers())
        return united({} if replaced else self.g_terms(critic, batch, fake), *added)

    def players(self) -> dict[str, nn.Module]:
        """Who can move; each has one optimiser. A name that begins with d takes D's settings, any other G's."""
        return {"d": self.discriminator, "g": self.generator}

    def judges(self) -> tuple[nn.Module, ...]:
        """Every discriminator, for what is done to D as a network."""
        return (self.discriminator,)

    def after_turn(self, turn: Turn) -> None:
        """Update the variant's own state."""

    # The game itself.

    def critic(
        self,
        x: Tensor,
        *given: Tensor,
        role: Role = "fake",
        state: State | None = None,
        judge: nn.Module | None = None,
    ) -> Verdict:
        """The one door to D: perturb x (N, ...), then score it.

        `state` stands in for D's parameters and buffers, as names to tensors, and D itself stays as it is: what several
        modules share is named in each of them. `judge` stands in for D where a paper has two.
        """
        return self._score(self._perturbed(x, role), given, state, judge)

    def _perturbed(self, x: Tensor, role: Role) -> Tensor:
        for stabilizer in self._stabilizers():
            x = stabilizer.perturb(x, role=role, kimg=self.kimg, noise=self.noise)
        return x

    def _score(self, x: Tensor, given: tuple[Tensor, ...], state: State | None, judge: nn.Module | None) -> Verdict:
        net = self.discriminator if judge is None else judge
        said = net(x, *given) if state is None else functional_call(net, state, (x, *given), tie_weights=False)
        score, features = said if isinstance(said, tuple) else (said, {})
        score = score if score.shape == x.shape[:1] else score.reshape(len(x))
        return Verdict(score.float() if score.dtype in (torch.float16, torch.bfloat16) else score, features)

    def bind(
        self,
        batch: Batch,
        state: State | None = None,
        judge: nn.Module | None = None,
        *,
        shared: bool = False,
    ) -> Critic:
        """The critic that terms are given: it knows what goes with the batch's images.

        With `shared`, the batch's own images are scored once, whoever asks.
        """
        said: dict[Role, Verdict] = {}

        def critic(x: Tensor, role: Role) -> Verdict:
            own = shared and x is getattr(batch, role, None)
            if own and role in said:
                return said[role]
            verdict = self.critic(x, *self.given(batch, role), role=role, state=state, judge=judge)
            if own:
                said[role] = verdict
            return verdict

        return critic

    def deal(self, data: Data, *, graph: bool, samples: bool = True) -> Batch:
        """Real images and, with `samples`, as many new fakes; with `graph`, these lead back to the generator."""
        real, labels = data[0], (data[1] if len(data) > 1 else None)
        if not samples:
            return Batch(real, labels, real.new_empty(len(real), 0), real, self.noise)
        z = self.sample_latent(len(real), self.noise)
        with torch.set_grad_enabled(graph):
            fake = self.generate(z, labels)
        if fake.shape != real.shape:
            raise ValueError(
                f"{type(self.generator).__name__} makes {tuple(fake.shape[1:])}, the data are "
                f"{tuple(real.shape[1:])}: give the generator image_shape={tuple(real.shape[1:])}"
            )
        return Batch(real, labels, z, fake, self.noise)

    def play(self, turn: Turn, data: Data, *, dealt: Batch | None = None, **more: Any) -> None:
        """Deal, unless that was done, and let the turn's movers move; `more` is for `move`, an override hands it on."""

        def terms() -> Terms:
            batch = dealt or self.deal(data, graph=turn.side == "g", samples=turn.samples)
            return turn.terms(self.bind(batch), batch)

        self.move(turn, terms, **more)

    def move(
        self,
        turn: Turn,
        terms: Callable[[], Terms],
        *,
        differentiates: Sequence[str] = (),
        before: Snapshot | None = None,
        meanwhile: Callable[[], None] = nothing,
    ) -> None:
        """One step of the turn's movers on the sum of `terms()`; it is left out where that is not finite.

        All other players are frozen before the forward pass, so nothing is spent on their gradients, and their buffers
        are put back after it; players named in `differentiates` can still be differentiated through. `before` is what
        the movers' buffers were, if part of the pass is done; `meanwhile` is called while gradients cross the ranks.
        """
        mine = before or self.snapshot(turn.movers)
        others = [name for name in self.names() if name not in turn.movers]
        idle = [name for name in others if name not in differentiates]
        with frozen(self.parts_of(*idle)[0]), buffers_kept(self.parts_of(*others)[1]):
            values = terms()
            arrived = self.differentiate(values, turn.movers)
        meanwhile()
        arrived()
        del arrived  # and what crossed
        mine.restore(where=self.update(turn.name, values, turn.movers))
        self.finish(turn, values)

    def finish(self, turn: Turn, terms: Terms) -> None:
        """What follows a step: the average, the log, and whatever projects weights or keeps a state."""
        if "g" in turn.movers:
            self._update_ema()
        self.latest[f"loss/{turn.name}"] = total(terms).detach()
        if len(terms) > 1:
            self.latest |= {f"loss/{turn.name}/{k}": v.detach() for k, v in terms.items()}
        self.after_turn(turn)
        for stabilizer in self._stabilizers():
            stabilizer.after_turn(turn, self)

    def training_step(self, batch: Data | Tensor, batch_idx: int = 0) -> None:
        """Play one batch and count it, whoever moved."""
        data = (batch,) if isinstance(batch, Tensor) else batch
        self.noise.begin(self.steps)
        for stabilizer in self._stabilizers():
            stabilizer.begin(self)
        self.dynamics(self, data)
        self.count(len(data[0]))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples of the averaged generator, where there is one, from z (N, latent_dim), in the module's own mode."""
        return self.generate(z, labels, ema=True)

    def sample(self, n: int, *, seed: int | None = None, z: Tensor | None = None, labels: Labels = None) -> Tensor:
        """Images (n, C, H, W) in [-1, 1], or points (n, 2), from the averaged generator when there is one.

        Args:
            n: how many.
            seed: the same seed gives the same latents on every device; None draws one.
            z: (n, latent_dim), instead of a seed.
            labels: of a conditional generator: n classes, or one for all; the classes in turn if None.
        """
        return torch.cat(list(self.stream(n, seed=seed, z=z, labels=labels)))

    @torch.no_grad()
    def stream(
        self,
        n: int,
        *,
        seed: int | None = None,
        z: Tensor | None = None,
        labels: Labels = None,
        rows: slice = slice(None),
        chunk: int = 256,
    ) -> Iterator[Tensor]:
        """`sample(n, ...)[rows]`, in parts of at most `chunk`; nothing but the latents is held for the rest."""
        if z is None:
            seed = int(torch.randint(2**62, ())) if seed is None else seed
            z = self.sample_latent(n, Noise(seed))
        elif len(z) != n:
            raise ValueError(f"sample: z has {len(z)} rows, n is {n}")
        classes = self._classes(n, labels)
        z = z[rows].to(self.device)
        classes = None if classes is None else classes[rows].to(self.device)
        for i in range(0, len(z), chunk):
            with evaluating(self.generator if self.generator_ema is None else self.generator_ema):
                made = self.generate(z[i : i + chunk], None if classes is None else classes[i : i + chunk], ema=True)
            yield made

    def _classes(self, n: int, labels: Labels) -> Tensor | None:
        """The labels of n samples, (n,), int64; None without classes."""
        if self.num_classes is None:
            if labels is not None:
                raise ValueError(f"sample: {type(self.generator).__name__} has no classes; leave labels out")
            return None
        if labels is None:
            return torch.arange(n) % self.num_classes
        classes = torch.as_tensor(labels)
        if classes.shape not in {(), (n,)} or classes.is_floating_point() or classes.dtype == torch.bool:
            raise ValueError(
                f"sample: labels must be one class or {n} of them, got {tuple(classes.shape)}, {classes.dtype}"
            )
        if n and not 0 <= int(classes.min()) <= int(classes.max()) < self.num_classes:
            raise ValueError(f"sample: labels must be in 0..{self.num_classes - 1}, got {labels}")
        return classes.long().expand(n)

    # What Lightning asks for.

    def predict_step(self, batch: Data, batch_idx: int) -> Tensor:
        """As many samples as the batch has images, (N, C, H, W) in [-1, 1]; a function of batch_idx."""
        return self.sample(len(batch[0]), seed=batch_idx)

    def _update_ema(self) -> None:
        self.g_moves += 1
        if self.generator_ema is None or self.ema_decay is None:
            return
        decay = min(self.ema_decay, (1 + self.g_moves) / (10 + self.g_moves))
        with torch.no_grad():
            (averaged, kept), (current, fresh) = self.parts_of("generator_ema"), self.parts_of("generator")
            torch._foreach_lerp_(tuple(averaged), tuple(current), 1 - decay)
            if kept:
                torch._foreach_copy_(own_buffers(kept), own_buffers(fresh))

    def _differentiating_twice(self) -> list[str]:
        parts: list[Dynamics | Stabilizer] = [self.dynamics, *self._stabilizers()]
        return [type(part).__name__ for part in parts if part.differentiates_twice]

    def _stabilizers(self) -> Iterable[Stabilizer]:
        return self._modules["stabilizers"]._modules.values()  # type: ignore[union-attr,return-value]

    @property
    def _float(self) -> torch.dtype:
        return self.parts_of("generator")[0][0].dtype
