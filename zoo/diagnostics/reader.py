"""Takes readings of a GAN between two batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo import distributed
from zoo.diagnostics import Reading
from zoo.metrics.features import Classifier, Extractor
from zoo.metrics.modes import stacked_modes
from zoo.noise import Noise
from zoo.support.freezing import evaluating
from zoo.types import Batch, Data, Role, Turn, total

if TYPE_CHECKING:
    from zoo.gan import GAN

_SKETCH = 256  # numbers that stand for the weights of G
_SIDE = 8  # pixels a side of what movement is seen in
_COURSE = 8  # readings over which samples may go a straight course
_PAIRS = 16  # of one class, at least, for a diversity within classes
_LAYERS = 6  # whose gradients are logged by name
_POOLED, _EXPECTED, _MISSING = 8, 10, 0.05  # readings whose modes are counted; samples of a mode; what is next to none


class Reader:
    """Takes readings of one GAN, one after the other; remembers where it was last.

    The networks, their buffers and the noise of the game stay as they are. Scores and gradients are those of the last
    turns. Samples are `gan.sample(n, seed=seed)`; movement is that of the plain generator, at the same latents. A
    conditional generator makes the classes of the real batch, and diversity is that of pairs of the same class.

    Args:
        n: samples a reading.
        seed: of the samples.
        extractor: what makes features and, with `classes`, tells classes; None for neither.
        modes: what tells the modes of samples (N, ...), as integers (N,).
    """

    def __init__(
        self, n: int, seed: int, extractor: Extractor | None = None, modes: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.n, self.seed, self.extractor, self.modes = n, seed, extractor, modes
        self.held_out: list[Tensor] | None = None  # images, and their labels where they have some
        self.layers: dict[str, float] = {}  # the gradient's norm at the last reading, by layer
        self._places: list[Tensor] = []  # of the samples, at the last readings
        self._move: Tensor | None = None  # of it, between the last two
        self._weights: Tensor | None = None  # a sketch of G's
        self._step: Tensor | None = None
        self._start = math.nan  # the norm of the weights before the first step
        self._counts: list[list[int]] = []  # samples of each mode, at the last readings
        self._data: Tensor | None = None  # training images or points
        self._known: list[int] | None = None  # how many of them are of each mode
        self._norms: dict[str, float] = {}  # of G's gradient when a checkpoint was written, which has no gradients

    def know(self, data: Any) -> None:
        """Take features, classes and modes from a data module that has a `classifier`, `centres` or the like."""
        known = getattr(data, "classifier", None)
        self.extractor = None if known is None else Classifier(known)
        self.modes = mode_teller(data)
        self.held_out = self._data = self._known = None
        if hasattr(data, "pick"):
            images, labels = scaled(data.pick("val", self.n)), data.labels("val", self.n)
            self.held_out = [images] if labels is None else [images, labels]
            if self.modes is not None or self.extractor is not None:
                self._data = scaled(data.pick("train", 1000))

    def state_dict(self) -> dict[str, Any]:
        """Positions at the last readings."""
        return {name: getattr(self, f"_{name}") for name in ("places", "move", "weights", "step", "start", "counts")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore that, and the norms of the gradients."""
        for name, value in state.items():
            setattr(self, f"_{name}", value)

    def start(self, gan: GAN) -> None:
        """Remember how large the weights are before the first step; a resume has brought it."""
        if gan.steps == 0:
            self._start = _largest(gan)

    def gradients(self, gan: GAN) -> dict[str, float]:
        """The norms of G's gradient, by layer, as its last step left them, be it before a resume."""
        return gradients_by_layer(gan.generator) or self._norms

    @torch.no_grad()
    def __call__(self, gan: GAN, real: Tensor, labels: Tensor | None = None) -> Reading | None:
        """Read; `real` are images of the data, (N, ...), `labels` theirs, (N,). None before both sides have moved."""
        turns = last_turns(gan)
        if not all(turn.name in gan.outputs and f"loss/{turn.name}" in gan.latest for turn in turns.values()):
            return None
        losses = {
            side: float(distributed.mean(torch.as_tensor(gan.latest[f"loss/{t.name}"]))) for side, t in turns.items()
        }
        numbers: dict[str, Any] = {
            "loss_d": losses["d"], "loss_g": losses["g"],
            **_scores(gan, turns["d"]), **self._overfitting(gan, real, labels),
            "slope": slope(gan, turns["g"]), "gradient": self._gradients(gan),
            "weights": (weights := _largest(gan)), "growth": weights / self._start if self._start else math.nan,
            **self._samples(gan, real, labels), "weight_turn": self._weight_turn(gan.generator),
        }  # fmt: skip
        finite = all(
            map(math.isfinite, (*losses.values(), numbers["scale"], numbers["weights"], *self.layers.values()))
        )
        bounded = numbers.pop("bounded")
        return Reading(kimg=gan.kimg, finite=finite and bounded, **numbers)

    def _overfitting(self, gan: GAN, real: Tensor, labels: Tensor | None) -> dict[str, float]:
        """D's mean scores of training images, held-out ones and fakes, changed as in its turn, in evaluation mode."""
        if self.held_out is None:
            return {}
        noise = Noise(self.seed, device=gan.device)

        def mean(x: Tensor, y: Tensor | None, role: Role) -> float:
            z = gan.sample_latent(len(real), noise)
            x = gan.generate(z, y) if role == "fake" else x
            score = gan.bind(Batch(x, y, z, x, noise, gan.kimg))(x, role).score.float().mean()
            return float(distributed.mean(-score if gan.energy_based else score))

        rows = torch.arange(len(real)) % len(self.held_out[0])
        x, y, *_ = *(part[rows].to(gan.device) for part in self.held_out), None
        x = x.to(real.dtype)
        with evaluating(gan):
            training, held_out, fake = mean(real, labels, "real"), mean(x, y, "real"), mean(real, labels, "fake")
        gap = training - held_out
        return {"held_out_gap": gap, "overfitting": gap / (training - fake) if training != fake else math.nan}

    def _gradients(self, gan: GAN) -> float:
        norms = self.gradients(gan)
        self.layers = dict(_some(list(norms.items())))
        return math.hypot(*norms.values()) if norms else math.nan

    def _samples(self, gan: GAN, real: Tensor, labels: Tensor | None) -> dict[str, Any]:
        real = real[: self.n]
        known = None if labels is None or gan.num_classes is None else labels[: len(real)]
        classes = None if known is None else known[torch.arange(self.n, device=known.device) % len(known)]
        made = gan.sample(self.n, seed=self.seed, labels=classes)
        if not made.isfinite().all():
            return {"bounded": False}
        if known is None or _pairs(known).sum() < _PAIRS:
            known = classes = None
        numbers: dict[str, Any] = {"bounded": True, "within_classes": known is not None}
        numbers["diversity"] = _spread(made, classes) / _spread(real, known)
        images = [made[: len(real)], real]  # of as many: a count of modes goes with how many there are
        logits: list[Tensor | None] = [None, None]
        if self.extractor is not None:
            found = [self.extractor.to(made.device)(x.clamp(-1, 1)) for x in images]
            numbers["feature_diversity"] = _spread(found[0].features, known) / _spread(found[1].features, known)
            logits = [f.logits for f in found]
        if self.modes is not None:
            numbers["modes"] = _effective(self.modes(images[0])) / _effective(self.modes(real))
        elif logits[0] is not None and logits[1] is not None:
            numbers["modes"] = _effective(logits[0].argmax(1)) / _effective(logits[1].argmax(1))
        if self._data is not None and "modes" in numbers:
            fresh = gan.sample(self.n, seed=self.seed + gan.steps, labels=classes)
            numbers["dropped"] = self._dropped(self._modes_of(fresh))
        return numbers | self._movement(gan, made, real)

    def _dropped(self, modes: Tensor) -> float:
        """Of the data's modes that should have 10 or more of the last readings' samples, the share with less than a
        twentieth of what they should have."""
        assert self._data is not None
        if self._known is None:
            self._known = self._modes_of(self._data.to(modes.device)).bincount().tolist()
        self._counts = [*self._counts, modes.bincount().tolist()][-_POOLED:]
        if len(self._counts) < _POOLED:
            return math.nan
        by_mode = zip_longest(self._known, *self._counts, fillvalue=0)
        known, pooled = torch.tensor([(there, sum(made)) for there, *made in by_mode], dtype=torch.float64).T
        expected = known * (pooled.sum() / known.sum())
        return float((pooled < _MISSING * expected)[expected >= _EXPECTED].double().mean())

    def _modes_of(self, samples: Tensor) -> Tensor:
        if self.modes is not None:
            return self.modes(samples)
        assert self.extractor is not None
        return self.extractor.to(samples.device)(samples.clamp(-1, 1)).logits.argmax(1)

    def _movement(self, gan: GAN, made: Tensor, real: Tensor) -> dict[str, float]:
        """Of where the plain generator puts its samples, classes in turn: their mean and spread, in few pixels."""
        if gan.generator_ema is not None or gan.num_classes is not None:
            z = gan.sample_latent(self.n, Noise(self.seed)).to(gan.device)
            labels = None if gan.num_classes is None else torch.arange(self.n, device=gan.device) % gan.num_classes
            with evaluating(gan.generator):
                made = gan.generate(z, labels)
        here, data = place(made), place(real)
        places, move = self._places, self._move
        self._places = [*places, here][-_COURSE:]
        self._move = here - places[-1] if places else None
        if self._move is None:
            return {}
        spread = data[len(data) // 2 :].norm().clamp(min=1e-12)
        numbers = {"movement": float(self._move.norm() / spread)}
        if len(self._places) == _COURSE:
            numbers["detour"] = float(detour(torch.stack(self._places)) / spread)
        if move is not None:
            numbers["direction_change"] = float(F.cosine_similarity(self._move, move, dim=0))
        return numbers

    def _weight_turn(self, net: nn.Module) -> float:
        weights = sketch(net.parameters())
        before, step = self._weights, self._step
        self._weights = weights
        self._step = None if before is None else weights - before
        if self._step is None or step is None:
            return math.nan
        return float(F.cosine_similarity(self._step, step, dim=0))


def last_turns(gan: GAN) -> dict[str, Turn]:
    """The last turn of a round in which D moves, under "d", and the last in which G does, under "g"."""
    return {turn.side: turn for turn in gan.turns() if turn.side == "d" or "g" in turn.movers}


def play_last_turns(gan: GAN, data: Data) -> None:
    """Set scores, losses and gradients to those of one batch, without a step."""
    for turn in last_turns(gan).values():
        terms = gan.gradients(turn, partial(gan.loss, turn, data))
        gan.latest[f"loss/{turn.name}"] = total(terms).detach()


def parts(batch: Any, device: torch.device | None = None) -> list[Tensor]:
    """A batch as a list of tensors, images first."""
    return [part.to(device) for part in ([batch] if isinstance(batch, Tensor) else batch)]


def ranking(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """Of scores (N,) and (M,): the share of pairs in which real is the higher, ties by half; and their overlap.

    The overlap is 1 less the largest difference between the two distribution functions. Both are in [0, 1] and stay the
    same under any rising function of the scores, so they mean the same for logits and critics.
    """
    real, fake = real.cpu(), fake.cpu()  # Apple's MPS has no float64
    order = (real[:, None] > fake).double() + (real[:, None] == fake).double() / 2
    at = torch.cat([real, fake])
    below = [(scores[:, None] <= at).double().mean(0) for scores in (real, fake)]
    return float(order.mean()), 1 - float((below[0] - below[1]).abs().max())


def slope(gan: GAN, turn: Turn) -> float:
    """The mean of |dL_G/df| over the last fakes, times their number.

    NaN if L_G is replaced by a stabilizer's, or the variant has no g_loss of fakes alone.
    """
    if any(stabilizer.replaces_g_loss for stabilizer in gan.stabilizers):
        return math.nan
    scores = gan.outputs[turn.name]["fake"].score
    gradient = _g_loss_gradient(gan, scores)
    return math.nan if gradient is None else float(distributed.mean(gradient.abs().sum()))


def _g_loss_gradient(gan: GAN, scores: Tensor) -> Tensor | None:
    """dL_G/df at these scores (N,); None for a variant whose `g_loss` is not implemented, as one that pairs images."""
    scores = scores.detach().requires_grad_()
    with torch.enable_grad():
        try:
            loss = gan.g_loss(scores)
        except NotImplementedError:  # it overrides g_terms
            return None
        return torch.autograd.grad(loss, scores)[0]


def gradients_by_layer(net: nn.Module) -> dict[str, float]:
    """The norm of the gradient of each module's own parameters, by name in order; those that have none are left out."""
    norms = {}
    for name, module in net.named_modules():
        mine = [p.grad for p in module.parameters(recurse=False) if p.grad is not None]
        if mine:
            norms[name] = float(_norm(mine))
    return norms


def sketch(parameters: Iterable[Tensor]) -> Tensor:
    """256 random signed sums of all parameters, the same every time: they keep angles, to about 0.06 in the cosine."""
    flat = torch.cat([p.detach().flatten().float() for p in parameters])
    signs = torch.randint(2, flat.shape, generator=torch.Generator().manual_seed(0), dtype=torch.int8)
    flat = flat * (2 * signs - 1).to(flat.device)
    return F.pad(flat, (0, -len(flat) % _SKETCH)).view(-1, _SKETCH).sum(0).cpu()


def detour(course: Tensor) -> Tensor:
    """The root mean square distance of T places (T, D), one a time, from the straight course closest to them."""
    time = torch.arange(len(course), dtype=course.dtype)
    time, course = (time - time.mean())[:, None], course - course.mean(0)
    left = course - time * (time * course).sum(0) / time.square().sum()
    return left.square().sum(1).mean().sqrt()


def uses(gan: GAN) -> set[str]:
    """The parts of a game by name, for advice.

    The names of its objective's, dynamics' and stabilizers' classes and of those they derive from; "ema", "clip_norm",
    "schedule" and "init_from" where it has one; "saturates" where L_G has no slope for a fake that D is sure of.
    """
    parts = (gan, *gan.dynamics.modules(), *gan.stabilizers)
    words = {kind.__name__ for part in parts for kind in type(part).__mro__}
    words |= {"ema"} if gan.generator_ema is not None else set()
    words |= {"clip_norm"} if gan.clip_norm is not None else set()
    words |= {"schedule"} if any(schedule is not None for schedule in gan.schedules.values()) else set()
    words |= {"init_from"} if gan.init_from is not None else set()
    flat = _g_loss_gradient(gan, torch.full((1,), -20.0))
    return words | ({"saturates"} if flat is not None and abs(float(flat)) < 1e-3 else set())


def mode_teller(data: Any) -> Callable[[Tensor], Tensor] | None:
    """The function from samples to modes of a data module with `centres` or a `channel_classifier`; else None."""
    centres, channels = getattr(data, "centres", None), getattr(data, "channel_classifier", None)
    if centres is not None:
        return lambda samples: torch.cdist(samples.float(), centres.to(samples)).argmin(1)
    if channels is None:
        return None
    classifier = Classifier(channels)
    return lambda samples: stacked_modes(samples, classifier.to(samples.device))


def _scores(gan: GAN, turn: Turn) -> dict[str, float]:
    said = gan.outputs[turn.name]
    real, fake = (distributed.gather(said[role].score.detach()).float() for role in ("real", "fake"))
    if gan.energy_based:  # real images have the low ones
        real, fake = -real, -fake
    accuracy, overlap = ranking(real, fake)
    both = torch.cat([real, fake])
    return {
        "accuracy": accuracy, "overlap": overlap, "gap": float(real.mean() - fake.mean()),
        "sign": math.nan if gan.energy_based else float(real.sign().mean()),
        "scale": float((both - both.mean()).abs().max()),
    }  # fmt: skip


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    return torch.stack(torch._foreach_norm([t.detach().float() for t in tensors])).norm()


def _largest(gan: GAN) -> float:
    """The norm of the parameters of the player that has the largest."""
    return max(float(_norm(net.parameters())) for net in gan.players().values())


def _spread(x: Tensor, labels: Tensor | None = None) -> float:
    """The mean distance between different rows, of the same class if labels are given."""
    distances = F.pdist(x.flatten(1).float())
    return float((distances if labels is None else distances[_pairs(labels)]).mean())


def _pairs(labels: Tensor) -> Tensor:
    """Which pairs of labels are equal, in the order of `F.pdist`."""
    first, second = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    return labels[first] == labels[second]


def place(samples: Tensor) -> Tensor:
    """Mean and standard deviation of samples (N, ...), in a row, images averaged to 8x8."""
    small = samples.float()
    if samples.ndim == 4:
        small = F.adaptive_avg_pool2d(small, _SIDE)
    small = small.flatten(1)
    return torch.cat([small.mean(0), small.std(0)]).cpu()


def scaled(data: Tensor) -> Tensor:
    """Images of 0..255 (uint8) in [-1, 1], float32; points as they are."""
    return data.float() / 127.5 - 1 if data.dtype == torch.uint8 else data


def _effective(modes: Tensor) -> float:
    """The exponential of the entropy of a histogram: as many modes as would be if all were as frequent."""
    share = torch.unique(modes.cpu(), return_counts=True)[1].double() / len(modes)
    return float((-torch.special.xlogy(share, share)).sum().exp())


def _some(items: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """At most six, from the first to the last."""
    if len(items) <= _LAYERS:
        return items
    return [items[round(i * (len(items) - 1) / (_LAYERS - 1))] for i in range(_LAYERS)]
