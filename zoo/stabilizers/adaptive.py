"""Random changes to what D sees, as many as D's overfitting asks for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from zoo import distributed
from zoo.noise import Noise
from zoo.schedules import Schedule
from zoo.stabilizers.base import Stabilizer, refuse_points
from zoo.support.checks import check_schedule
from zoo.types import Game, Role, Turn

GROUPS = ("blit", "geometric", "color")


class AdaptiveAugment(Stabilizer):
    """Each change falls on each image with probability p: ADA (Karras et al. 2020, "Training GANs with Limited Data").

    Real images and fakes are changed in every turn, with gradients to G. Below p = 0.8 G does not learn to make changed
    images in practice (section 2.2). The groups, with the constants of the authors' code:

        blit: mirrored; turned by 0, 90, 180 or 270 degrees; shifted by whole pixels, up to an eighth of each side.
        geometric: scaled by 2^N(0, 0.2²); stretched by 2^N(0, 0.2²) one way and shrunk by it the other, between two
            turns by any angle, each with probability 1 - √(1 - p); shifted by N(0, 0.125²) of each side.
        color: brightness + N(0, 0.2²); contrast times 2^N(0, 0.5²); the mean over channels negated, every second time;
            hue turned by any angle; saturation times 2^N(0, 1).

    p is steered: r = E sign D(x) over the images of the last `interval` batches is 0 where D cannot tell real images
    and 1 where it knows them all. p rises where r is above the target, else it falls, by 1 in `speed_kimg`. p, r and
    what they are made of are saved, and the same on all ranks. The log has `augment/p` and `augment/r`.

    Deviations: images are warped by bilinear interpolation, once, without the authors' wavelet filters at twice the
    size, so that a warped image is a little blurred. Beyond its edge an image is mirrored without end, theirs ends in
    black after once. p stays in [0, 1], theirs has no upper limit. Images with 2 or more than 3 channels keep their
    hue. The filter, noise and cutout groups, which the paper found to help little, are left out.

    Args:
        groups: of changes.
        p: None steers it, from 0; a number in [0, 1] fixes it.
        scheduler: kimg to a factor on a fixed p; above 1 is 1.
        target: of r, in (0, 1). The paper uses 0.6.
        speed_kimg: real images in which p goes from 0 to 1, above 0. The authors take 500, and 100 for fine-tuning.
        interval: batches between two steps of p.

    Raises:
        ValueError: for an unknown group, a value out of range, data that are points; and, where p is steered, for
            several discriminators and for losses that do not set the border between real and fake at a score of 0.
    """

    p: Tensor
    r: Tensor
    signs: Tensor
    images: Tensor

    def __init__(
        self, groups: Sequence[str] = ("blit", "geometric", "color"), p: float | None = None,
        scheduler: Schedule | None = None, target: float = 0.6, speed_kimg: float = 500.0, interval: int = 4,
    ) -> None:  # fmt: skip
        super().__init__()
        if isinstance(groups, str) or not set(groups) <= set(GROUPS):
            raise ValueError(f"AdaptiveAugment: groups must be a list of {', '.join(GROUPS)}, got {groups!r}")
        check_schedule(scheduler, "AdaptiveAugment: scheduler")
        if scheduler is not None and p is None:
            raise ValueError("AdaptiveAugment: scheduler is a factor on p; give p, too")
        if p is not None and not 0 <= p <= 1:
            raise ValueError(f"AdaptiveAugment: p must be in [0, 1], got {p}")
        if not 0 < target < 1 or speed_kimg <= 0 or interval < 1:
            raise ValueError(
                "AdaptiveAugment: target must be in (0, 1), speed_kimg above 0 and interval at least 1, "
                f"got target={target}, speed_kimg={speed_kimg}, interval={interval}"
            )
        self.groups, self.fixed, self.scheduler = tuple(groups), p, scheduler
        self.target, self.speed_kimg, self.interval = target, speed_kimg, interval
        self.register_buffer("p", torch.tensor(float(p or 0)))
        for name in ("r", "signs", "images"):  # of the images since the last step of p: the sum of signs, and how many
            self.register_buffer(name, torch.zeros(()))

    def prepare(self, gan: Game) -> None:
        """Refuse a D of points and, where p is steered, several."""
        refuse_points(self, getattr(gan.discriminator, "image_shape", None))
        if self.fixed is None and len(gan.discriminators()) > 1:
            raise ValueError(f"{type(gan).__name__}: AdaptiveAugment steers p by one discriminator; set p")

    def begin(self, gan: Game) -> None:
        """Follow the schedule; on the first batch, see that the sign of a score says something."""
        if self.fixed is not None and self.scheduler is not None:
            self.p.fill_(min(self.fixed * self.scheduler(gan.kimg), 1.0))
            gan.latest["augment/p"] = self.p.clone()
        if self.fixed is None and gan.steps == 0:
            check_border(gan)

    def perturb(self, x: Tensor, *, role: Role, kimg: float, noise: Noise) -> Tensor:
        """Change images (N, C, H, W)."""
        refuse_points(self, x.shape[1:])
        p = self.p.to(x.device, torch.promote_types(x.dtype, torch.float32))  # which all is computed in
        if {"blit", "geometric"}.intersection(self.groups):
            x = warped(x, *geometry(self.groups, len(x), x.shape[2:], p, noise))
        return color(x, p, noise) if "color" in self.groups else x

    @torch.no_grad()
    def after_turn(self, turn: Turn, gan: Game) -> None:
        """Count the signs of D's move; step p when it is due."""
        if turn.side != "d" or self.fixed is not None:
            return
        score = gan.outputs[turn.name]["real"].score
        self.signs += distributed.mean(score.sign().nan_to_num().sum()) * distributed.world_size()
        self.images += len(score) * distributed.world_size()
        if (gan.steps + 1) % self.interval == 0:
            self.r.copy_(self.signs / self.images.clamp(min=1))
            step = (self.r - self.target).sign() * self.images / (1000 * self.speed_kimg)
            self.p.copy_((self.p + step).clamp(0, 1))
            self.signs.zero_()
            self.images.zero_()
        gan.latest |= {"augment/p": self.p.clone(), "augment/r": self.r.clone()}

    def extra_repr(self) -> str:
        """The settings, for printing."""
        return f"groups={list(self.groups)}, p={f'steered to r = {self.target}' if self.fixed is None else self.fixed}"


def check_border(gan: Game) -> None:
    """Refuse, with a ValueError, losses under which the sign of a score does not mean real or fake.

    Scores that are the same for real images and fakes must cost least at 0, and c as much as -c.
    """
    costs = [float(gan.d_loss(score, score)) for score in torch.tensor([[-3.0], [0.0], [3.0]])]
    if not (math.isclose(costs[0], costs[2], rel_tol=1e-5) and costs[1] < costs[0] - 1e-3):
        raise ValueError(
            f"{type(gan).__name__}: AdaptiveAugment steers p by the sign of D's scores, which this loss does not set "
            "at 0; set p, or use NSGAN or HingeGAN"
        )


def geometry(groups: Sequence[str], n: int, size: Sequence[int], p: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """Random M (N, 2, 2) and t (N, 2): the pixel at q, (row, column) from the centre, is taken from M q + t."""
    blit, geometric = ((group in groups) * p for group in ("blit", "geometric"))
    turning = 1 - (1 - geometric).sqrt()
    chances = torch.stack([blit, blit, blit, geometric, geometric, geometric, turning, turning])
    on = (noise.uniform(n, 8, dtype=p.dtype) < chances).to(p.dtype).T
    u, z = noise.uniform(n, 6, dtype=p.dtype).T, noise.normal(n, 4, dtype=p.dtype).T
    sides = torch.tensor([*size], dtype=p.dtype, device=z.device)[:, None]

    mirrored, quarters = on[0] * (2 * u[0]).floor(), on[1] * (4 * u[1]).floor()
    whole = on[2] * (sides * (u[2:4] / 4 - 0.125)).round()  # (2, N)
    scale, stretch = (0.2 * on[3:5] * z[:2]).exp2()
    part = 0.125 * on[5] * sides * z[2:]
    before, after = math.pi * on[6:] * (2 * u[4:] - 1)
    cos, sin = (quarters - 2).abs() - 1, quarters % 2 * (2 - quarters)  # exact
    zero = torch.zeros_like(scale)
    blits = _product(_matrix(zero + 1, zero, zero, 1 - 2 * mirrored), _matrix(cos, -sin, sin, cos))
    m = _product(
        blits, _rotation(before), _matrix(stretch / scale, zero, zero, 1 / (stretch * scale)), _rotation(after)
    )
    return m, -(m * part.T[:, None] + blits * whole.T[:, None]).sum(2)


def warped(x: Tensor, m: Tensor, t: Tensor) -> Tensor:
    """x (N, C, H, W) at M q + t for every pixel q from the centre; bilinear, mirrored at the centres of edge pixels.

    Of gathers and products only, so that it has derivatives of every order: torch's grid_sample has one, and a gradient
    penalty needs two.
    """
    size = x.shape[2:]
    centre = torch.tensor([*size], dtype=t.dtype, device=t.device)[:, None, None] / 2 - 0.5
    q = torch.stack(torch.meshgrid(*(torch.arange(side, device=t.device) for side in size), indexing="ij")) - centre
    places = (m[:, :, :, None, None] * q).sum(2) + t[:, :, None, None] + centre  # (N, 2, H, W)
    corners: list[list[tuple[Tensor, Tensor]]] = []  # the two pixels beside each place, and their weights
    for place, side in zip(places.unbind(1), size, strict=True):
        last = max(side - 1, 1)
        inside = last - (place.remainder(2 * last) - last).abs()
        low = inside.floor().clamp(max=side - 1)
        corners.append([(low, 1 - (inside - low)), ((low + 1).clamp(max=side - 1), inside - low)])
    pixels = torch.zeros_like(x)
    for (row, down), (column, across) in itertools.product(*corners):
        index = (row * size[1] + column).long().flatten(1)[:, None]
        pixels = pixels + (down * across)[:, None].to(x.dtype) * x.flatten(2).take_along_dim(index, 2).view_as(x)
    return pixels


def color(x: Tensor, p: Tensor, noise: Noise) -> Tensor:
    """Brightness, contrast, luma flip, hue and saturation of x (N, C, H, W), in this order."""
    on = (noise.uniform(len(x), 5, dtype=p.dtype) < p).to(p.dtype)
    u, z = noise.uniform(len(x), 2, dtype=p.dtype), noise.normal(len(x), 3, dtype=p.dtype)
    drawn = torch.cat([0.2 * z[:, :1], 0.5 * z[:, 1:2], (2 * u[:, :1]).floor(), 2 * u[:, 1:] - 1, z[:, 2:]], 1)
    change = (on * drawn).to(x.dtype).T[:, :, None, None, None]
    brightness, contrast, flipped, turn, saturation = change
    x = (x + brightness) * contrast.exp2()
    luma = x.mean(1, keepdim=True)
    chroma = x - luma
    angle = math.pi * turn * (x.shape[1] == 3)
    across = (chroma.roll(1, 1) - chroma.roll(-1, 1)) / math.sqrt(3)  # at right angles to it and to the axis of greys
    return x - 2 * flipped * luma + (saturation.exp2() * (angle.cos() * chroma + angle.sin() * across) - chroma)


def _matrix(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """((a, b), (c, d)), (N, 2, 2)."""
    return torch.stack([a, b, c, d], 1).view(-1, 2, 2)


def _rotation(angle: Tensor) -> Tensor:
    return _matrix(angle.cos(), -angle.sin(), angle.sin(), angle.cos())


def _product(*factors: Tensor) -> Tensor:
    """Of matrices (N, 2, 2), without matmul, which may be of low precision."""
    return reduce(lambda a, b: (a[..., None] * b[:, None]).sum(2), factors)
