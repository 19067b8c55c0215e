"""Things that steady any objective. A GAN holds an ordered list of them."""

from zoo.stabilizers.adaptive import AdaptiveAugment
from zoo.stabilizers.augment import DiffAugment
from zoo.stabilizers.base import Stabilizer
from zoo.stabilizers.classifier import AuxiliaryClassifier
from zoo.stabilizers.consistency import ConsistencyRegularization
from zoo.stabilizers.growing import ProgressiveGrowing, ScoreDrift
from zoo.stabilizers.lecam import LeCam
from zoo.stabilizers.minibatch import MinibatchDiscrimination
from zoo.stabilizers.noise import Dropout, InstanceNoise, LayerNoise
from zoo.stabilizers.packed import Packed
from zoo.stabilizers.penalty import R1, GradientPenalty
from zoo.stabilizers.targets import FeatureMatching, LabelSmoothing
from zoo.stabilizers.top_k import TopK
from zoo.stabilizers.virtual import VirtualBatchNorm
from zoo.stabilizers.weights import HistoricalAveraging, SpectralNorm, WeightClip, WeightPenalty

__all__ = [
    "R1",
    "AdaptiveAugment",
    "AuxiliaryClassifier",
    "ConsistencyRegularization",
    "DiffAugment",
    "Dropout",
    "FeatureMatching",
    "GradientPenalty",
    "HistoricalAveraging",
    "InstanceNoise",
    "LabelSmoothing",
    "LayerNoise",
    "LeCam",
    "MinibatchDiscrimination",
    "Packed",
    "ProgressiveGrowing",
    "ScoreDrift",
    "SpectralNorm",
    "Stabilizer",
    "TopK",
    "VirtualBatchNorm",
    "WeightClip",
    "WeightPenalty",
]
