"""What a game takes from another, and that a refusal leaves it as it was."""

import pytest
import torch

from tests.games import same, snapshot
from zoo.gan import GAN
from zoo.hub.finetune import begin


def below(gan: GAN, name: str) -> dict[str, torch.Tensor]:
    return {k: v for k, v in snapshot(gan).items() if k.startswith(f"{name}.")}


def refused(gan: GAN, *words: str) -> str:
    """One line with these words, and a game as it was."""
    before, free = snapshot(gan), [p.requires_grad for p in gan.parameters()]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are looked at below
        begin(gan)
    said = str(caught.value)
    assert "\n" not in said
    assert all(word in said for word in words), said
    assert same(before, snapshot(gan))
    assert free == [p.requires_grad for p in gan.parameters()]
    assert not gan.frozen_names
    return said
