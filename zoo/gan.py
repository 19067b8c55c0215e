"""The base class of all variants. A variant writes the two lines of its loss table, `d_loss` and `g_loss`.

The dynamics decides which turns are played on a batch. One move: `training_step` -> `dynamics` -> `play` -> `move` ->
`gradients` (`loss`: `deal` a batch, `bind` D to it, `d_turn` -> `d_terms` -> `d_loss`) -> `step` (`optimize`). A batch
is one step, whatever moved. `zoo.training` has the optimisers, ranks, precision and checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from zoo.dynamics import Alternating, Dynamics
from zoo.noise import Noise
from zoo.stabilizers import Stabilizer
from zoo.support.checks import check_losses, check_networks, check_parts
from zoo.support.freezing import Buffers
from zoo.support.sampling import Labels, stream
from zoo.training import ManualTraining
from zoo.types import Batch, Critic, Data, Output, Role, State, Terms, Turn, merge, total


class GAN(ManualTraining):
    """A generator and a discriminator; subclass it with two losses.

    Args:
        generator: z (N, latent_dim) to images (N, C, H, W) in [-1, 1] or points (N, 2); has `latent_dim`, and
            `num_classes` where it takes labels.
        discriminator: images to scores (N,), or to (scores, features); no sigmoid at its end.
        networks: further networks of a paper, by attribute name.
        dynamics: who moves when. None is the paper's own, `default_dynamics`.
        stabilizers: applied in order.
        training: optimisers, schedules, averaging of G (ema_decay, ema_half_life_kimg), clip_norm, compile, init_from,
            nonfinite: see `ManualTraining`.
    """

    energy_based: ClassVar[bool] = False  # D must be an autoencoder that returns energies
    paired: ClassVar[bool] = False  # D scores pairs (x, z)
    log_loss: ClassVar[bool] = False  # L_D is -E log D(x) - E log(1 - D(G(z))), D(x) = σ(score)
    double_backward: ClassVar[bool] = False  # a loss has a gradient penalty: a score must depend on its own sample only
    stabilizers: Sequence[Stabilizer]

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *, networks: Mapping[str, nn.Module] | None = None,
        dynamics: Dynamics | None = None, stabilizers: Sequence[Stabilizer] | None = None, **training: Any,
    ) -> None:  # fmt: skip
        super().__init__(**training)
        self.generator, self.discriminator = generator, discriminator
        for name, net in (networks or {}).items():
            self.add_module(name, net)
        check_losses(type(self), GAN)
        check_networks(self)
        self.latent_dim: int = generator.latent_dim  # type: ignore[assignment]
        self.num_classes: int | None = getattr(generator, "num_classes", None)
        self.dynamics = dynamics or self.default_dynamics()
        self.stabilizers = nn.ModuleList(stabilizers or ())  # type: ignore[assignment]
        for stabilizer in self.stabilizers:
            stabilizer.prepare(self)
        self.dynamics.prepare(self)
        check_parts(self, self.compiled)
        self.generator_ema = self.average.of(generator)

    # The loss table: most variants write nothing else.

    def d_loss(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """What D minimises, from scores D(x) and D(G(z)), each (N,); a scalar."""
        raise NotImplementedError

    def g_loss(self, d_fake: Tensor) -> Tensor:
        """What G minimises, from scores D(G(z)) (N,); a scalar."""
        raise NotImplementedError

    def default_dynamics(self) -> Dynamics:
        """The paper's own."""
        return Alternating()

    # For papers that change the structure.

    def sample_latent(self, n: int, noise: Noise) -> Tensor:
        """Latents z, (n, latent_dim), standard normal unless a paper says otherwise."""
        return noise.normal(n, self.latent_dim, dtype=self.latent_dtype)

    def generate(self, z: Tensor, labels: Tensor | None, *, ema: bool = False) -> Tensor:
        """G(z); labels enter only a conditional generator."""
        net = self.generator_ema if ema and self.generator_ema is not None else self.generator
        return net(z) if self.num_classes is None else net(z, labels)

    def given(self, batch: Batch, role: Role) -> tuple[Tensor, ...]:
        """D's inputs beside an image: the labels, if it is conditional."""
        conditional = getattr(self.discriminator, "num_classes", None) is not None
        return (batch.labels,) if conditional and batch.labels is not None else ()

    def d_terms(self, critic: Critic, batch: Batch, real: Output, fake: Output) -> Terms:
        """Named parts of D's loss, scalars."""
        return {"adversarial": self.d_loss(real.score, fake.score)}

    def g_terms(self, critic: Critic, batch: Batch, fake: Output) -> Terms:
        """Named parts of G's loss, scalars."""
        return {"adversarial": self.g_loss(fake.score)}

    def players(self) -> dict[str, nn.Module]:
        """The networks that move, each with an optimiser of its own."""
        return {"d": self.discriminator, "g": self.generator}

    def discriminators(self) -> tuple[nn.Module, ...]:
        """All discriminators, for stabilizers that change them."""
        return (self.discriminator,)

    def turns(self) -> tuple[Turn, ...]:
        """The kinds of move, in the order of a round."""
        return Turn("d", ("d",), self.d_turn, side="d"), Turn("g", ("g",), self.g_turn, side="g")

    def after_turn(self, turn: Turn) -> None:
        """Update the variant's own state (BEGAN's k)."""

    # The game.

    def training_step(self, batch: Data | Tensor, batch_idx: int = 0) -> None:
        """Run the dynamics on one batch, then count it."""
        data = (batch,) if isinstance(batch, Tensor) else batch
        self.noise.begin(self.steps)
        for stabilizer in self.stabilizers:
            stabilizer.begin(self)
        self.dynamics(self, data)
        self.average.after_batch(self, len(data[0]))
        self.count(len(data[0]))

    def play(self, turn: Turn, data: Data) -> None:
        """One move of this turn: deal a batch, and step the movers' optimisers on the turn's loss."""
        self.move(turn, lambda: self.loss(turn, data))

    def loss(self, turn: Turn, data: Data) -> Terms:
        """The terms of the turn's loss on new latents."""
        batch = self.deal(data, graph=turn.side == "g", samples=turn.samples)
        return turn.loss(self.bind(batch), batch)

    def deal(self, data: Data, *, graph: bool, samples: bool = True) -> Batch:
        """Real images, new z and G(z), with its graph if `graph`; without `samples`, z is (N, 0), `fake` is `real`."""
        real, labels = data[0], (data[1] if len(data) > 1 else None)
        if not samples:
            return Batch(real, labels, real.new_empty(len(real), 0), real, self.noise, self.kimg)
        z = self.sample_latent(len(real), self.noise)
        with torch.set_grad_enabled(graph):
            fake = self.generate(z, labels)
        if fake.shape != real.shape:
            made, name, shape = tuple(fake.shape[1:]), type(self.generator).__name__, tuple(real.shape[1:])
            raise ValueError(f"{name} makes {made}, the data are {shape}: give the generator image_shape={shape}")
        return Batch(real, labels, z, fake, self.noise, self.kimg)

    def bind(self, batch: Batch, net: nn.Module | None = None, state: State | None = None) -> Critic:
        """D as the losses call it, critic(x, role): the stabilizers' `perturb` of x (N, ...), then the discriminator.

        `net` replaces the first discriminator; `state` replaces its parameters and buffers (unrolling).
        """
        net = self.discriminator if net is None else net

        def critic(x: Tensor, role: Role) -> Output:
            for stabilizer in self.stabilizers:
                x = stabilizer.perturb(x, role=role, kimg=self.kimg, noise=batch.noise)
            inputs = (x, *self.given(batch, role))
            out = net(*inputs) if state is None else functional_call(net, state, inputs, tie_weights=False)
            score, features = out if isinstance(out, tuple) else (out, {})
            score = score.float() if score.dtype in (torch.float16, torch.bfloat16) else score
            return Output(score.reshape(len(x)), features)

        return critic

    def d_turn(self, critic: Critic, batch: Batch, name: str = "d") -> Terms:
        """All terms of D's loss: the objective's, then the stabilizers'."""
        real, fake = critic(batch.real, "real"), critic(batch.fake, "fake")
        self.outputs[name] = {"real": real.detach(), "fake": fake.detach()}
        own = self.d_terms(critic, batch, real, fake)
        return merge(own, *(s.d_terms(critic, batch, real, fake) for s in self.stabilizers))

    def g_turn(self, critic: Critic, batch: Batch, name: str = "g") -> Terms:
        """All terms of G's loss: the objective's, unless a stabilizer replaces it, then the stabilizers'."""
        fake = critic(batch.fake, "fake")
        self.outputs[name] = {"fake": fake.detach()}
        own = {} if any(s.replaces_g_loss for s in self.stabilizers) else self.g_terms(critic, batch, fake)
        return merge(own, *(s.g_terms(critic, batch, fake) for s in self.stabilizers))

    def move(self, turn: Turn, closure: Callable[[], Terms], *, differentiates: Sequence[str] = ()) -> None:
        """One optimiser step of the movers on the sum of `closure()`; skipped if a term or a gradient is not finite."""
        before = self.buffers_of(turn.movers)
        self.step(turn, self.gradients(turn, closure, differentiates=differentiates), before)

    def gradients(self, turn: Turn, closure: Callable[[], Terms], *, differentiates: Sequence[str] = ()) -> Terms:
        """Set the movers' gradients of the sum of `closure()`; returns its terms.

        All other players have requires_grad False in both passes, except those in `differentiates`, through whose
        parameters the graph then leads.
        """
        with self.frozen_but(turn.movers, differentiates):
            values = closure()
            self.backpropagate(total(values), self.parameters_of(turn.movers))
        return values

    def step(self, turn: Turn, terms: Terms, before: Buffers) -> None:
        """Step the movers' optimisers, then update the EMA if G moved, the log, and the variant's state."""
        before.restore(where=self.optimize(turn, terms))  # where a move is skipped, its buffers are put back too
        self.after_step(turn, terms)

    def after_step(self, turn: Turn, terms: Terms) -> None:
        """Update the EMA if G moved, the log, and the variant's state."""
        if "g" in turn.movers:
            self.g_moves += 1
            self.average.after_move(self)
        self.latest[f"loss/{turn.name}"] = total(terms).detach()
        self.latest |= {f"loss/{turn.name}/{name}": value.detach() for name, value in terms.items() if len(terms) > 1}
        self.after_turn(turn)
        for stabilizer in self.stabilizers:
            stabilizer.after_turn(turn, self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples of the averaged generator, where there is one, from z (N, latent_dim), in the module's own mode."""
        return self.generate(z, labels, ema=True)

    def sample(self, n: int, *, seed: int | None = None, z: Tensor | None = None, labels: Labels = None) -> Tensor:
        """Images (n, C, H, W) in [-1, 1], or points (n, 2), from the averaged generator where there is one.

        The same seed gives the same latents on every device; None draws a seed. `z` (n, latent_dim) replaces them.
        `labels`, of a conditional generator: n classes, one for all, weights (n, num_classes), or None, all in turn.
        """
        return torch.cat(list(self.stream(n, seed=seed, z=z, labels=labels)))

    def stream(
        self, n: int, *, seed: int | None = None, z: Tensor | None = None, labels: Labels = None,
        rows: slice = slice(None), chunk: int = 256,
    ) -> Iterator[Tensor]:  # fmt: skip
        """`sample(n, ...)[rows]`, in parts of at most `chunk`."""
        return stream(self, n, seed, z, labels, rows, chunk)

    def predict_step(self, batch: Data, batch_idx: int) -> Tensor:
        """As many samples as the batch has images, (N, C, H, W) in [-1, 1]; a function of batch_idx."""
        return self.sample(len(batch[0]), seed=batch_idx)

    @property
    def latent_dtype(self) -> torch.dtype:
        """The generator's."""
        return next(self.generator.parameters()).dtype
