"""Labels inside of networks: conditional batch norms, projection, auxiliary classifier; and self-attention."""

import math
from itertools import product

import pytest
import torch

from zoo.backbones import MLPDiscriminator, MLPGenerator, ResNetDiscriminator, ResNetGenerator
from zoo.backbones.labelled import ConditionalBatchNorm2d, SelfAttention
from zoo.stabilizers import AuxiliaryClassifier
from zoo.types import Output
from zoo.variants.nsgan import NSGAN


def test_conditional_batch_norm_has_a_gain_and_a_bias_for_each_class() -> None:
    """Of the values 1 and 3, whose mean is 2 and whose deviation is 1: -1 and 1 before gain and bias."""
    norm = ConditionalBatchNorm2d(1, 2)
    norm.gain.weight.data, norm.bias.weight.data = torch.tensor([[1.0], [5.0]]), torch.tensor([[0.0], [10.0]])
    x = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    assert norm(x, torch.tensor([0, 0])).flatten().tolist() == pytest.approx([-1, 1], abs=1e-4)
    assert norm(x, torch.tensor([1, 1])).flatten().tolist() == pytest.approx([5, 15], abs=1e-4)
    assert norm(x, torch.tensor([0, 1])).flatten().tolist() == pytest.approx([-1, 15], abs=1e-4)
    mixed = torch.tensor([[0.75, 0.25], [0.5, 0.5]])  # gains 2 and 3, biases 2.5 and 5
    assert norm(x, mixed).flatten().tolist() == pytest.approx([0.5, 8], abs=1e-4)


def test_labels_enter_the_residual_generator_through_its_norms_alone() -> None:
    torch.manual_seed(0)
    g = ResNetGenerator((1, 16, 16), latent_dim=5, width=4, num_classes=3, label="batch_norm").eval()
    assert g.input_dim == 5
    norms = [m for m in g.modules() if isinstance(m, ConditionalBatchNorm2d)]
    assert len(norms) == 2 * 2 + 1  # two a block, one at the end
    z, labels = torch.randn(4, 5), torch.tensor([0, 1, 2, 0])
    plain = g(z, labels)
    assert torch.equal(plain, g(z, labels.flip(0)))  # until they learn, all classes are alike
    for norm in norms:
        norm.bias.weight.data[1] += 1
    changed = (g(z, labels) - plain).flatten(1).norm(dim=1)
    assert (changed > 0).tolist() == [False, True, False, False]


def test_self_attention_is_the_paper_s_sum_over_places_and_begins_as_nothing() -> None:
    """Against loops over the places of a 4x4 map, whose keys and values are of its four 2x2 squares."""
    torch.manual_seed(0)
    layer = SelfAttention(8).double()
    x = torch.randn(2, 8, 4, 4, dtype=torch.float64)
    assert torch.equal(layer(x), x)
    layer.gamma.data.fill_(0.7)
    f, g, h, v = (w.weight.data[:, :, 0, 0] for w in (layer.query, layer.key, layer.value, layer.out))
    expected = x.clone()
    for n, i, j in product(range(2), range(4), range(4)):
        squares = [x[n, :, a : a + 2, b : b + 2].flatten(1) for a, b in product((0, 2), (0, 2))]
        weights = torch.stack([(f @ x[n, :, i, j]) @ (g @ s).amax(1) for s in squares]).exp()
        seen = sum(w * (h @ s).amax(1) for w, s in zip(weights / weights.sum(), squares, strict=True))
        expected[n, :, i, j] += 0.7 * v @ seen
    torch.testing.assert_close(layer(x), expected)


def test_attention_stands_at_half_the_image_s_size_in_both_networks() -> None:
    g = ResNetGenerator((1, 32, 32), latent_dim=5, width=4, attention=True)
    d = ResNetDiscriminator((1, 32, 32), width=4, attention=True)
    seen = []
    for net in (g, d):
        (layer,) = [m for m in net.modules() if isinstance(m, SelfAttention)]
        layer.register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape[2:])))
    assert d(g(torch.randn(2, 5)))[0].shape == (2,)
    assert seen == [(16, 16), (16, 16)]


def test_the_auxiliary_classifier_s_terms_by_hand() -> None:
    """Logits (ln 3, 0) and (0, 0): P(0) is 3/4 and 1/2, so -E log P is ½(ln 4/3 + ln 2)."""
    torch.manual_seed(0)
    nets = MLPGenerator((2,), 5, 6, num_classes=2), MLPDiscriminator((2,), 7, num_classes=2, label="classifier")
    aux = AuxiliaryClassifier(weight=3.0)
    gan = NSGAN(*nets, stabilizers=[aux])
    labels = torch.tensor([0, 0])
    batch = gan.deal((torch.randn(2, 2), labels), graph=True)
    real = Output(torch.zeros(2), {"classes": torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])})
    fake = Output(torch.zeros(2), {"classes": torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])})
    of_real, of_fake = (math.log(4 / 3) + math.log(2)) / 2, (math.log(4) + math.log(2)) / 2
    assert aux.d_terms(None, batch, real, fake)["classifier"].item() == pytest.approx(3 * (of_real + of_fake))
    assert aux.g_terms(None, batch, fake)["classifier"].item() == pytest.approx(3 * of_fake)
    # D's score does not depend on the label, its classes are linear in its features
    out, other = (gan.discriminator(batch.real, y) for y in (labels, 1 - labels))
    assert torch.equal(out[0], other[0])
    torch.testing.assert_close(out[1]["classes"], gan.discriminator.classes(out[1]["hidden"]))
    terms = gan.g_turn(gan.bind(batch), batch)
    assert set(terms) == {"adversarial", "classifier"}
    (slope,) = torch.autograd.grad(terms["classifier"], batch.fake)
    assert slope.abs().sum() > 0


def test_label_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"NSGAN: AuxiliaryClassifier needs .* label: classifier, which MLPDisc"):
        NSGAN(
            MLPGenerator((2,), num_classes=2),
            MLPDiscriminator((2,), num_classes=2),
            stabilizers=[AuxiliaryClassifier()],
        )
    with pytest.raises(ValueError, match=r"NSGAN: .*label is classifier, and no loss .*AuxiliaryClassifier"):
        NSGAN(MLPGenerator((2,), num_classes=2), MLPDiscriminator((2,), num_classes=2, label="classifier"))
    with pytest.raises(ValueError, match=r"ResNetGenerator: label batch_norm needs num_classes; .*conditional: true"):
        ResNetGenerator((1, 8, 8), label="batch_norm")
    with pytest.raises(ValueError, match="ResNetGenerator: label batch_norm needs norm batch, got 'layer'"):
        ResNetGenerator((1, 8, 8), label="batch_norm", num_classes=2, norm="layer")
    with pytest.raises(ValueError, match="label classifier needs num_classes"):
        MLPDiscriminator((2,), label="classifier")
    with pytest.raises(ValueError, match=r"projection.*classifier"):
        MLPDiscriminator((2,), num_classes=2, label="concat")
    with pytest.raises(ValueError, match="weight must be at least 0"):
        AuxiliaryClassifier(-1.0)
