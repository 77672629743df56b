"""The network in Keras: residual 3x3 convolutions, then convolutions and attentive statistics over time.

(192 frames, 64 bands) → stem 96x32 → 48x16 → 24x8 → 24x4 → a vector a frame, and those before it → weighted mean and deviation →
six probabilities. Residual blocks: He et al. 2016; pooling: Okabe et al. 2018.

Every layer under the pooling is causal: it reads a frame and those before it. So the frames that overlapping windows share are
computed once, and a window costs what is new in it. What the layers need of the frames before is silence at the beginning of
a training window, and in a running call the state that the exported network takes and gives.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
from keras import layers

from monitor.features import BANDS
from monitor.messages import LABELS
from monitor.model import HOP_CELLS, WINDOW_CELLS
from train.corpus import CorpusError
from train.dataset import FRAMES, STRIDE

NETWORK = "causal layers"
"""What it is, in words, where trainings of another one are kept too."""
POOLED = FRAMES // STRIDE
"""Vectors of a window."""


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

    def __post_init__(self) -> None:
        frames = 2 * math.prod(stage[1] for stage in self.stages)
        if frames != STRIDE:
            raise ValueError(f"stages make a vector of {frames} frames, expected {STRIDE}")

    @classmethod
    def of(cls, channels: Sequence[int]) -> "Architecture":
        """The default one with so many channels in each stage. Raises `CorpusError` for fewer than four or over a thousand."""
        if any(not 4 <= number <= 1000 for number in channels):
            raise CorpusError(f"channels are {' '.join(map(str, channels))}, expected 4 to 1000 in each stage")
        strides = [stage[1:] for stage in cls().stages]
        return cls(stages=tuple((number, *stride) for number, stride in zip(channels, strides, strict=True)))


def _gathered(given: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    """(batch, `POOLED` - 1 + t, 1, c) vectors, (windows,) how many of the last t each has → (batch · windows, `POOLED`, 1, c)"""
    vectors, ends = given
    places = keras.ops.expand_dims(ends, 1) + keras.ops.arange(-1, POOLED - 1, dtype="int32")
    return keras.ops.reshape(keras.ops.take(vectors, places, axis=1), (-1, POOLED, 1, vectors.shape[-1]))


class _Past:
    """What lies before a layer's first frame: nothing but zeros."""

    def before(self, x: keras.KerasTensor, frames: int) -> keras.KerasTensor:
        """(batch, t, bands, c) → (batch, frames + t, bands, c)"""
        return layers.ZeroPadding2D(((frames, 0), (0, 0)))(x)

    def vectors(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """(batch, t, 1, c) vectors → all that are pooled, in windows: those of the window."""
        return x

    def windows(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """The same → (windows, `POOLED`, 1, c) those of each window."""
        return x


@keras.saving.register_keras_serializable("callmood")
class _Halves(layers.Layer):
    """(n, 2t, 1, c) → (2n, t, 1, c): first the one half of the time, then the other."""

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return keras.ops.reshape(x, (-1, keras.ops.shape(x)[1] // 2, 1, x.shape[-1]))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return None, None, *shape[2:]


class _Pair(_Past):
    """Of the first window nothing lies before, of the second the first."""

    def windows(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return _Halves()(x)


class _State(_Past):
    """The same: what a state says."""

    def __init__(self, given: keras.KerasTensor | None = None, ends: keras.KerasTensor | None = None) -> None:
        """`given`: (batch, size), `ends`: (windows,); None where only the size is asked for."""
        self.size = 0
        self._given, self._ends = given, ends
        self._kept: list[keras.KerasTensor] = []

    def before(self, x: keras.KerasTensor, frames: int) -> keras.KerasTensor:
        shape, begin = (frames, *x.shape[2:]), self.size
        self.size += math.prod(shape)
        if self._given is None:
            return super().before(x, frames)
        # Channels first, as ONNX Runtime computes: so the converter needs no transpositions.
        past = keras.ops.reshape(self._given[:, begin : self.size], (-1, x.shape[3], frames, x.shape[2]))
        x = layers.Concatenate(axis=1)([keras.ops.transpose(past, (0, 2, 3, 1)), x])
        self._kept.append(keras.ops.reshape(keras.ops.transpose(x[:, -frames:], (0, 3, 1, 2)), (-1, math.prod(shape))))
        return x

    def vectors(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return self.before(x, POOLED - 1)

    def windows(self, x: keras.KerasTensor) -> keras.KerasTensor:
        if self._ends is None:
            return x
        return layers.Lambda(_gathered, (POOLED, 1, x.shape[-1]))([x, self._ends])

    @property
    def after(self) -> keras.KerasTensor:
        """(batch, size) the state for what comes next."""
        return layers.Concatenate(name="state_after")(self._kept)


def _convolution(
    x: keras.KerasTensor, past: _Past, name: str, channels: int, size: int, stride: tuple[int, int] = (1, 1)
) -> keras.KerasTensor:
    """Causal convolution and batch normalisation."""
    if size > 1:
        bands = x.shape[2]
        missing = (math.ceil(bands / stride[1]) - 1) * stride[1] + size - bands
        x = past.before(x, size - stride[0])
        x = layers.ZeroPadding2D(((0, 0), (missing // 2, missing - missing // 2)))(x)
    x = layers.Conv2D(channels, size, strides=stride, use_bias=False, name=name)(x)
    return _normal(x, name)


def _normal(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Batch normalisation after the layer of that name."""
    return layers.BatchNormalization(name=f"{name}_normal")(x)


def _residual(
    x: keras.KerasTensor, past: _Past, name: str, channels: int, stride: tuple[int, int]
) -> keras.KerasTensor:
    """Two 3x3 convolutions beside a shortcut that averages where they stride."""
    y = layers.ReLU()(_convolution(x, past, f"{name}_first", channels, 3, stride))
    y = _convolution(y, past, f"{name}_second", channels, 3)
    if stride != (1, 1):
        x = layers.AveragePooling2D(stride)(x)
    if x.shape[-1] != channels:
        x = _convolution(x, past, f"{name}_shortcut", channels, 1)
    return layers.ReLU()(layers.Add()([x, y]))


def _beside(features: keras.KerasTensor) -> keras.KerasTensor:
    """(batch, frames, 64 + c) → (batch, as many frames as the stages leave, 1, c): means of what lies beside the bands."""
    means = layers.AveragePooling1D(STRIDE)(features[..., BANDS:])
    return _normal(keras.ops.expand_dims(means, 2), "beside")


def _in_context(x: keras.KerasTensor, past: _Past, dilation: int) -> keras.KerasTensor:
    """(batch, frames, 1, c) → the same shape: what every frame is after its neighbours, one and two dilations before."""
    name = f"context_{dilation}"
    y = past.before(x, 2 * dilation)
    y = layers.Conv2D(x.shape[-1], (3, 1), dilation_rate=(dilation, 1), use_bias=False, name=name)(y)
    return layers.ReLU()(layers.Add()([x, _normal(y, name)]))


def _statistics(x: keras.KerasTensor, past: _Past, attention: int) -> keras.KerasTensor:
    """(batch, frames, 1, c) → (windows, 2c): mean and deviation over the time of each window, each channel attending to its own
    frames."""
    x = past.vectors(x)
    weights = layers.Conv2D(attention, 1, activation="tanh", name="attention")(x)
    weights = layers.Conv2D(x.shape[-1], 1, name="attention_weights")(weights)
    x, weights = past.windows(x), past.windows(weights)
    weights = layers.Softmax(axis=1)(weights)
    mean = keras.ops.sum(weights * x, axis=(1, 2))
    variance = keras.ops.sum(weights * x * x, axis=(1, 2)) - mean * mean
    return layers.Concatenate()([mean, keras.ops.sqrt(keras.ops.maximum(variance, 1e-4))])


def build_network(architecture: Architecture | None = None) -> keras.Model:
    """`features` (batch, 192, 64 and what lies beside) of whole windows → `probabilities` (batch, 6) in the order of LABELS."""
    sizes = architecture or Architecture()
    features = keras.Input((FRAMES, BANDS + sizes.beside), name="features")
    return keras.Model(features, _outputs(features, sizes, _Past(), {})[0])


def build_learning(
    architecture: Architecture, heads: Mapping[str, int], start: keras.Model | None = None
) -> keras.Model:
    """The same for training, with the weights of `start` where they are not new: `features` (pairs, frames, 64) of two windows
    that follow each other, both of any multiple of `STRIDE` frames → (2 · pairs, 6) for the first and the second of each, so that
    half of the windows are read after another, as in a running call. After `probabilities` come `heads`, name → classes of what
    is asked besides, a softmax each."""
    features = keras.Input((None, BANDS + architecture.beside), name="features")
    network = keras.Model(features, _outputs(features, architecture, _Pair(), heads))
    return _taken(start, network) if start else network


def build_streaming(architecture: Architecture) -> keras.Model:
    """`features` (batch, frames, 64) of what is new, a multiple of `STRIDE`, `state` (batch, size), and `ends` (windows,), int32:
    of how many new vectors each window has its last → `probabilities` (batch · windows, 6) of the `POOLED` vectors up to there,
    and the next state, `state_after`. Zeros are the state before the first window, which is new as a whole."""
    features = keras.Input((None, BANDS), name="features")
    _outputs(features, architecture, counted := _State(), {})
    state = keras.Input((counted.size,), name="state")
    ends = keras.Input((), name="ends", dtype="int32")
    probabilities = _outputs(features, architecture, past := _State(state, ends), {})
    return keras.Model([features, state, ends], [probabilities[0], past.after])


def _outputs(
    features: keras.KerasTensor, sizes: Architecture, past: _Past, heads: Mapping[str, int]
) -> list[keras.KerasTensor]:
    x = keras.ops.expand_dims(features[..., :BANDS] if sizes.beside else features, 3)
    x = layers.ReLU()(_convolution(x, past, "stem", sizes.stem, 5, (2, 2)))
    for number, (channels, *stride) in enumerate(sizes.stages, 1):
        x = _residual(x, past, f"stage_{number}", channels, (stride[0], stride[1]))
    x = layers.Conv2D(sizes.vector, (1, x.shape[2]), use_bias=False, name="vector")(x)
    if sizes.beside:
        x = layers.Add()([x, layers.Conv2D(sizes.vector, 1, use_bias=False, name="vector_beside")(_beside(features))])
    x = layers.ReLU()(_normal(x, "vector"))
    for dilation in sizes.context:
        x = _in_context(x, past, dilation)
    x = layers.Dropout(sizes.dropout)(_statistics(x, past, sizes.attention))
    asked = {"probabilities": len(LABELS), **heads}
    return [layers.Dense(size, activation="softmax", name=name)(x) for name, size in asked.items()]


def rebuilt(network: keras.Model, architecture: Architecture) -> keras.Model:
    """`build_network` with the weights of a network for training. Raises ValueError where it has other sizes."""
    return _taken(network, build_network(architecture))


def streaming(network: keras.Model, architecture: Architecture) -> keras.Model:
    """What is exported: see `build_streaming`."""
    return _taken(network, build_streaming(architecture))


def _taken(network: keras.Model, other: keras.Model) -> keras.Model:
    """`other` with the weights of `network`; heads that only `other` has stay as they are."""
    new = {*other.output_names} - {*network.output_names}
    for layer in other.layers:
        if layer.weights and layer.name not in new:
            layer.set_weights(network.get_layer(layer.name).get_weights())
    return other


def mflop(network: keras.Model) -> float:
    """Millions of operations of a window half a second after the one before: twice the multiply-accumulates of every convolution
    and dense layer, of those before the pooling once for each frame.

    `network` takes three seconds.
    """
    total = 0
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D | layers.Dense):
            places = 1
            for size in layer.output.shape[1:-1]:
                places *= size
            pooled = isinstance(layer, layers.Dense) or layer.name.startswith("attention")
            total += places * int(layer.kernel.shape.num_elements()) * (1.0 if pooled else HOP_CELLS / WINDOW_CELLS)
    return 2 * total / 1e6
