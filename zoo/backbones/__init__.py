"""Generators, discriminators and encoders for images of 8 to 128 pixels a side, any channels, and for points."""

from zoo.backbones.autoencoder import Autoencoder, DecoderGenerator
from zoo.backbones.base import Discriminator, Generator
from zoo.backbones.dcgan import DCGANDiscriminator, DCGANGenerator, SNDCGANDiscriminator, SNDCGANGenerator
from zoo.backbones.encoder import Encoder, PairDiscriminator
from zoo.backbones.growing import GrowingDiscriminator, GrowingGenerator
from zoo.backbones.mlp import MLPDiscriminator, MLPGenerator
from zoo.backbones.r3gan import R3GANDiscriminator, R3GANGenerator
from zoo.backbones.resnet import ResNetDiscriminator, ResNetGenerator
from zoo.backbones.small import InfoGANDiscriminator, InfoGANGenerator, UnrolledDiscriminator, UnrolledGenerator

__all__ = [
    "Autoencoder", "DCGANDiscriminator", "DCGANGenerator", "DecoderGenerator", "Discriminator", "Encoder", "Generator",
    "GrowingDiscriminator", "GrowingGenerator", "InfoGANDiscriminator", "InfoGANGenerator", "MLPDiscriminator",
    "MLPGenerator", "PairDiscriminator", "R3GANDiscriminator", "R3GANGenerator", "ResNetDiscriminator",
    "ResNetGenerator", "SNDCGANDiscriminator", "SNDCGANGenerator", "UnrolledDiscriminator", "UnrolledGenerator",
]  # fmt: skip
