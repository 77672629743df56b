"""The network in Keras: residual 3x3 convolutions with squeeze-and-excitation, then convolutions and attentive statistics over
time.

(188 frames, 64 bands) → stem 94x32 → 47x16 → 24x8 → 24x4 → a vector a frame, and those beside it → weighted mean and deviation →
six probabilities. Residual blocks: He et al. 2016; squeeze-and-excitation: Hu et al. 2018; pooling: Okabe et al. 2018.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
from keras import layers

from monitor.features import BANDS
from monitor.messages import LABELS
from train.corpus import CorpusError
from train.dataset import FRAMES


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of the network."""

    stem: int = 16
    """Channels after the first 5x5 convolution, which halves frames and bands."""
    stages: tuple[tuple[int, int, int], ...] = ((16, 2, 2), (32, 2, 2), (64, 1, 2))
    """Residual blocks: channels, stride in time, stride in frequency."""
    vector: int = 96
    """Length of what describes a frame (125 ms) before pooling."""
    context: tuple[int, ...] = (1, 2)
    """Dilations of the residual convolutions over three of these frames each."""
    attention: int = 64
    dropout: float = 0.25
    beside: int = 0
    """Values a frame (15.6 ms) that lie beside the bands. Their means join what a frame's vector is made of."""

    @classmethod
    def of(cls, channels: Sequence[int]) -> "Architecture":
        """The default one with so many channels in each stage. Raises `CorpusError` for fewer than four or over a thousand."""
        if any(not 4 <= number <= 1000 for number in channels):
            raise CorpusError(f"channels are {' '.join(map(str, channels))}, expected 4 to 1000 in each stage")
        strides = [stage[1:] for stage in cls().stages]
        return cls(stages=tuple((number, *stride) for number, stride in zip(channels, strides, strict=True)))


def _convolution(x: keras.KerasTensor, channels: int, size: int, stride: tuple[int, int] = (1, 1)) -> keras.KerasTensor:
    """Convolution and batch normalisation."""
    x = layers.Conv2D(channels, size, strides=stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def _excited(x: keras.KerasTensor) -> keras.KerasTensor:
    """Every channel weighed by what all channels hold on average."""
    weights = layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = layers.Conv2D(x.shape[-1] // 4, 1, activation="relu")(weights)
    return layers.Multiply()([x, layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(weights)])


def _residual(x: keras.KerasTensor, channels: int, stride: tuple[int, int]) -> keras.KerasTensor:
    """Two 3x3 convolutions beside a shortcut that averages where they stride."""
    y = layers.ReLU()(_convolution(x, channels, 3, stride))
    y = _excited(_convolution(y, channels, 3))
    if stride != (1, 1):
        x = layers.AveragePooling2D(stride, padding="same")(x)
    if x.shape[-1] != channels:
        x = _convolution(x, channels, 1)
    return layers.ReLU()(layers.Add()([x, y]))


def _beside(features: keras.KerasTensor, sizes: Architecture) -> keras.KerasTensor:
    """(batch, frames, 64 + c) → (batch, as many frames as the stages leave, c): means of what lies beside the bands."""
    stride = math.prod((2, *(stage[1] for stage in sizes.stages)))
    means = layers.AveragePooling1D(stride, padding="same")(features[..., BANDS:])
    return layers.BatchNormalization()(means)


def _in_context(x: keras.KerasTensor, dilation: int) -> keras.KerasTensor:
    """(batch, frames, c) → the same shape: what every frame is among its neighbours, `dilation` frames before and after."""
    y = layers.Conv1D(x.shape[-1], 3, dilation_rate=dilation, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.Add()([x, layers.BatchNormalization()(y)]))


def _statistics(x: keras.KerasTensor, attention: int) -> keras.KerasTensor:
    """(batch, frames, c) → (batch, 2c): mean and deviation over time, each channel attending to its own frames."""
    weights = layers.Conv1D(attention, 1, activation="tanh")(x)
    weights = layers.Softmax(axis=1)(layers.Conv1D(x.shape[-1], 1)(weights))
    mean = keras.ops.sum(weights * x, axis=1)
    variance = keras.ops.sum(weights * x * x, axis=1) - mean * mean
    return layers.Concatenate()([mean, keras.ops.sqrt(keras.ops.maximum(variance, 1e-4))])


def build_network(
    architecture: Architecture | None = None, frames: int | None = FRAMES, heads: Mapping[str, int] | None = None
) -> keras.Model:
    """`features` (batch, frames, 64 and what lies beside) → `probabilities` (batch, 6) in the order of `LABELS`, and after it
    one more softmax a head.

    `frames` None takes windows of any length; `heads` are name → classes of what is asked in training besides the emotion.
    """
    sizes = architecture or Architecture()
    features = keras.Input((frames, BANDS + sizes.beside), name="features")
    x = layers.Reshape((-1, BANDS, 1))(features[..., :BANDS] if sizes.beside else features)
    x = layers.ReLU()(_convolution(x, sizes.stem, 5, (2, 2)))
    for channels, *stride in sizes.stages:
        x = _residual(x, channels, (stride[0], stride[1]))
    x = layers.Reshape((-1, x.shape[2] * x.shape[3]))(x)
    if sizes.beside:
        x = layers.Concatenate()([x, _beside(features, sizes)])
    x = layers.Conv1D(sizes.vector, 1, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for dilation in sizes.context:
        x = _in_context(x, dilation)
    x = layers.Dropout(sizes.dropout)(_statistics(x, sizes.attention))
    scores = layers.Dense(len(LABELS), activation="softmax", name="probabilities")(x)
    others = [layers.Dense(size, activation="softmax", name=name)(x) for name, size in (heads or {}).items()]
    return keras.Model(features, [scores, *others] if others else scores)


def rebuilt(
    network: keras.Model,
    architecture: Architecture,
    frames: int | None = FRAMES,
    heads: Mapping[str, int] | None = None,
) -> keras.Model:
    """A network of the same weights for windows of `frames`, with other heads: those that `network` lacks are new.

    By default what is exported: three seconds in, the emotion out. Raises ValueError where `network` has other sizes.
    """
    other = build_network(architecture, frames, heads)
    for one, own in zip(_trunk(network), _trunk(other), strict=True):
        own.set_weights(one.get_weights())
    return other


def _trunk(network: keras.Model) -> list[keras.Layer]:
    """Layers with weights, without the heads that are only there for training."""
    heads = set(network.output_names) - {"probabilities"}
    return [layer for layer in network.layers if layer.weights and layer.name not in heads]


def mflop(network: keras.Model) -> float:
    """Millions of operations a window: twice the multiply-accumulates of every convolution and dense layer."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D | layers.Conv1D | layers.Dense):
            places = 1
            for size in layer.output.shape[1:-1]:
                places *= size
            total += places * int(layer.kernel.shape.num_elements())
    return 2 * total / 1e6
