"""Every layer of Keras with small inputs, and what it computes in NumPy.

`CASES` maps a label, whose first word is the name of the class, to a `Case`. `test_keras_layers` demands
that no class of `keras.layers` is missing, and runs them all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import layer_truth as truth
import numpy as np
from on_keras import KB, layers, models

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """A layer for inputs of some shapes (without samples) and `says(weights, *inputs)`, its outputs."""

    make: Callable[[], Any]
    shapes: tuple[tuple[int, ...], ...]
    says: Callable[..., Array]
    words: int = 0  # the inputs are that many different ints


CASES: dict[str, Case] = {}
VECTOR, SERIES, IMAGE, VOLUME, MOVIE = (5,), (7, 4), (6, 7, 4), (4, 5, 6, 2), (3, 5, 6, 2)


def case(label, make, says, *shapes, words=0):
    CASES[label] = Case(make, shapes, says, words)


def plain(function):
    """Return the function of the input, for layers without weights."""
    return lambda weights, *inputs: function(*inputs)


def spread(function, **options):
    """Return the function of (input, *weights)."""
    return lambda weights, *inputs: function(*inputs, *weights, **options)


def same(x):
    return x


# --- core ----------------------------------------------------------------------------------------

case("Dense", lambda: layers.Dense(3), lambda w, x: x @ w[0] + w[1], VECTOR)
case("Dense on series", lambda: layers.Dense(3, activation="tanh", use_bias=False),
     lambda w, x: np.tanh(x @ w[0]), SERIES)  # fmt: skip
for name, function in {
    "softmax": truth.softmax, "selu": truth.selu, "sigmoid": truth.sigmoid, "tanh": np.tanh,
    "hard_sigmoid": truth.hard_sigmoid, "exponential": np.exp, "linear": same,
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)), "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + abs(x)), "relu": lambda x: np.maximum(x, 0),
}.items():  # fmt: skip
    case(f"Activation {name}", lambda name=name: layers.Activation(name), plain(function), VECTOR)
case("Dropout", lambda: layers.Dropout(0.5), plain(same), VECTOR)
case("SpatialDropout1D", lambda: layers.SpatialDropout1D(0.5), plain(same), SERIES)
case("SpatialDropout2D", lambda: layers.SpatialDropout2D(0.5), plain(same), IMAGE)
case("SpatialDropout3D", lambda: layers.SpatialDropout3D(0.5), plain(same), VOLUME)
case("GaussianNoise", lambda: layers.GaussianNoise(0.5), plain(same), VECTOR)
case("GaussianDropout", lambda: layers.GaussianDropout(0.5), plain(same), VECTOR)
case("AlphaDropout", lambda: layers.AlphaDropout(0.5), plain(same), VECTOR)
case("ActivityRegularization", lambda: layers.ActivityRegularization(0.1, 0.2), plain(same), VECTOR)
case("Flatten", layers.Flatten, plain(lambda x: x.reshape(len(x), -1)), IMAGE)
case("Flatten channels_first", lambda: layers.Flatten("channels_first"),
     plain(lambda x: np.moveaxis(x, 1, -1).reshape(len(x), -1)), IMAGE)  # fmt: skip
case("Reshape", lambda: layers.Reshape((-1, 7)), plain(lambda x: x.reshape(len(x), -1, 7)), IMAGE)
case("Permute", lambda: layers.Permute((3, 1, 2)), plain(lambda x: x.transpose(0, 3, 1, 2)), IMAGE)
case("RepeatVector", lambda: layers.RepeatVector(3), plain(lambda x: np.stack([x] * 3, 1)), VECTOR)
case("Lambda", lambda: layers.Lambda(lambda x, k: x[:, 1:] ** k, arguments={"k": 2}),
     plain(lambda x: x[:, 1:] ** 2), SERIES)  # fmt: skip
case("Lambda of backend functions", lambda: layers.Lambda(lambda x: KB.l2_normalize(x, -1)),
     plain(lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)), SERIES)  # fmt: skip
case("Embedding", lambda: layers.Embedding(9, 3), lambda w, i: w[0][i.astype(int)], (7,), words=9)
case("Masking", lambda: layers.Masking(0.0), plain(same), SERIES)
case("Highway", lambda: layers.Highway(), lambda w, x: (
    (gate := truth.sigmoid(x @ w[1] + w[3])) * (x @ w[0] + w[2]) + (1 - gate) * x), VECTOR
)  # fmt: skip
case("MaxoutDense", lambda: layers.MaxoutDense(3, nb_feature=4),
     lambda w, x: (np.einsum("ni,kio->nko", x, w[0]) + w[1]).max(1), VECTOR)  # fmt: skip
case("BatchNormalization", lambda: layers.BatchNormalization(),
     lambda w, x: (x - w[2]) / np.sqrt(w[3] + 1e-3) * w[0] + w[1], IMAGE)  # fmt: skip
case("BatchNormalization axis=1", lambda: layers.BatchNormalization(axis=1, scale=False),
     lambda w, x: truth.first_channels(lambda y: (y - w[1]) / np.sqrt(w[2] + 1e-3) + w[0])(x),
     IMAGE)  # fmt: skip

# --- advanced activations ------------------------------------------------------------------------

case(
    "LeakyReLU", lambda: layers.LeakyReLU(0.2), plain(lambda x: np.where(x > 0, x, 0.2 * x)), SERIES
)
case("PReLU", lambda: layers.PReLU(shared_axes=[1, 2]),
     lambda w, x: np.where(x > 0, x, w[0] * x), IMAGE)  # fmt: skip
case("ELU", lambda: layers.ELU(0.7), plain(lambda x: np.where(x > 0, x, 0.7 * np.expm1(x))), VECTOR)
case("ThresholdedReLU", lambda: layers.ThresholdedReLU(0.3), plain(lambda x: x * (x > 0.3)), VECTOR)
case("Softmax", lambda: layers.Softmax(1), plain(lambda x: truth.softmax(x, 1)), SERIES)
case("ReLU", lambda: layers.ReLU(1.0, 0.1, 0.2), plain(
    lambda x: np.where(x >= 1, 1, np.where(x > 0.2, x, 0.1 * (x - 0.2)))), VECTOR)  # fmt: skip

# --- convolutions --------------------------------------------------------------------------------

case("Conv1D causal", lambda: layers.Conv1D(3, 3, padding="causal", dilation_rate=2),
     spread(truth.convolved, padding="causal", dilation=2), SERIES)  # fmt: skip
case("Conv1D strided", lambda: layers.Conv1D(3, 2, strides=2, padding="same"),
     spread(truth.convolved, padding="same", strides=2), SERIES)  # fmt: skip
case("Conv2D", lambda: layers.Conv2D(3, (2, 3), activation="relu"),
     lambda w, x: np.maximum(truth.convolved(x, *w), 0), IMAGE)  # fmt: skip
case("Conv2D same, strided", lambda: layers.Conv2D(3, 4, strides=(2, 3), padding="same"),
     spread(truth.convolved, padding="same", strides=(2, 3)), IMAGE)  # fmt: skip
case("Conv2D dilated", lambda: layers.Conv2D(3, 2, dilation_rate=(2, 3)),
     spread(truth.convolved, dilation=(2, 3)), IMAGE)  # fmt: skip
case("Conv2D channels_first", lambda: layers.Conv2D(3, 2, data_format="channels_first"),
     spread(truth.first_channels(truth.convolved)), (4, 6, 7))  # fmt: skip
case("Conv3D", lambda: layers.Conv3D(3, (2, 3, 2), strides=(1, 2, 1)),
     spread(truth.convolved, strides=(1, 2, 1)), VOLUME)  # fmt: skip
case("Conv2DTranspose", lambda: layers.Conv2DTranspose(3, 3, strides=2),
     spread(truth.transposed, strides=2), (3, 4, 2))  # fmt: skip
case("Conv2DTranspose same", lambda: layers.Conv2DTranspose(3, (2, 4), strides=2, padding="same"),
     spread(truth.transposed, strides=2, padding="same"), (3, 4, 2))  # fmt: skip
case("Conv3DTranspose", lambda: layers.Conv3DTranspose(3, 2, strides=(1, 2, 1)),
     spread(truth.transposed, strides=(1, 2, 1)), (2, 3, 3, 2))  # fmt: skip
case("SeparableConv1D", lambda: layers.SeparableConv1D(3, 2, depth_multiplier=2, padding="same"),
     lambda w, x: truth.separable(w, x, padding="same"), SERIES)  # fmt: skip
case("SeparableConv2D", lambda: layers.SeparableConv2D(3, 3, strides=2, depth_multiplier=2),
     lambda w, x: truth.separable(w, x, strides=2), IMAGE)  # fmt: skip
case("DepthwiseConv2D", lambda: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
     lambda w, x: truth.by_depth(x, w[0], padding="same") + w[1], IMAGE)  # fmt: skip
case("LocallyConnected1D", lambda: layers.LocallyConnected1D(3, 3, strides=2),
     lambda w, x: truth.unshared([w[0], w[1]], x, 3, 2), SERIES)  # fmt: skip
case("LocallyConnected2D", lambda: layers.LocallyConnected2D(3, (2, 3)),
     lambda w, x: truth.unshared([w[0], w[1]], x, (2, 3)), IMAGE)  # fmt: skip

# --- sizes ---------------------------------------------------------------------------------------

case("UpSampling1D", lambda: layers.UpSampling1D(3), plain(lambda x: x.repeat(3, 1)), SERIES)
case("UpSampling2D", lambda: layers.UpSampling2D((2, 3)),
     plain(lambda x: x.repeat(2, 1).repeat(3, 2)), IMAGE)  # fmt: skip
case("UpSampling2D bilinear", lambda: layers.UpSampling2D((2, 3), interpolation="bilinear"),
     plain(lambda x: truth.stretched(truth.stretched(x, 2, 1), 3, 2)), IMAGE)  # fmt: skip
case("UpSampling3D", lambda: layers.UpSampling3D((1, 2, 3)),
     plain(lambda x: x.repeat(2, 2).repeat(3, 3)), VOLUME)  # fmt: skip
case("ZeroPadding1D", lambda: layers.ZeroPadding1D((1, 2)),
     plain(lambda x: np.pad(x, [(0, 0), (1, 2), (0, 0)])), SERIES)  # fmt: skip
case("ZeroPadding2D", lambda: layers.ZeroPadding2D(((1, 2), (3, 0))),
     plain(lambda x: np.pad(x, [(0, 0), (1, 2), (3, 0), (0, 0)])), IMAGE)  # fmt: skip
case("ZeroPadding3D", lambda: layers.ZeroPadding3D((1, 0, 2)),
     plain(lambda x: np.pad(x, [(0, 0), (1, 1), (0, 0), (2, 2), (0, 0)])), VOLUME)  # fmt: skip
case("Cropping1D", lambda: layers.Cropping1D((1, 2)), plain(lambda x: x[:, 1:-2]), SERIES)
case("Cropping2D", lambda: layers.Cropping2D(((1, 2), (0, 3))),
     plain(lambda x: x[:, 1:-2, :-3]), IMAGE)  # fmt: skip
case("Cropping3D", lambda: layers.Cropping3D((1, 2, 1)),
     plain(lambda x: x[:, 1:-1, 2:-2, 1:-1]), VOLUME)  # fmt: skip

# --- pooling -------------------------------------------------------------------------------------

for kind, fold in {"Max": np.nanmax, "Average": np.nanmean}.items():
    for rank, shape in enumerate((SERIES, IMAGE, VOLUME), 1):
        pool = getattr(layers, f"{kind}Pooling{rank}D")
        whole = getattr(layers, f"Global{kind}Pooling{rank}D")
        axes = tuple(range(1, rank + 1))
        case(pool.__name__, pool, plain(lambda x, fold=fold: truth.pooled(x, fold)), shape)
        case(f"{pool.__name__} same", lambda pool=pool: pool(3, strides=2, padding="same"),
             plain(lambda x, fold=fold: truth.pooled(x, fold, 3, 2, "same")), shape)  # fmt: skip
        case(whole.__name__, whole, plain(lambda x, fold=fold, axes=axes: fold(x, axes)), shape)

# --- merging -------------------------------------------------------------------------------------

for kind, function in {
    "Add": lambda a, b, c: a + b + c, "Multiply": lambda a, b, c: a * b * c,
    "Average": lambda a, b, c: (a + b + c) / 3,
    "Maximum": lambda *xs: np.max(xs, 0), "Minimum": lambda *xs: np.min(xs, 0),
}.items():  # fmt: skip
    case(kind, getattr(layers, kind), plain(function), SERIES, SERIES, SERIES)
case("Subtract", layers.Subtract, plain(lambda a, b: a - b), SERIES, SERIES)
case("Concatenate", lambda: layers.Concatenate(1),
     plain(lambda a, b: np.concatenate([a, b], 1)), (2, 4), (3, 4))  # fmt: skip
case("Dot", lambda: layers.Dot((2, 1)), plain(lambda a, b: a @ b), (3, 4), (4, 2))
case("Dot normalized", lambda: layers.Dot(1, normalize=True), plain(
    lambda a, b: (a * b).sum(1, keepdims=True)
    / np.linalg.norm(a, axis=1, keepdims=True) / np.linalg.norm(b, axis=1, keepdims=True)),
    VECTOR, VECTOR)  # fmt: skip

# --- recurrent -----------------------------------------------------------------------------------


def last(function, **options):
    return lambda w, x: function(w, x, **options)[:, -1]


def stacked(w, x):
    return truth.gru(w[3:], truth.simple_rnn(w[:3], x))[:, -1]


case("SimpleRNN", lambda: layers.SimpleRNN(3), last(truth.simple_rnn), SERIES)
case("SimpleRNN backwards", lambda: layers.SimpleRNN(3, return_sequences=True, go_backwards=True),
     lambda w, x: truth.simple_rnn(w, x[:, ::-1]), SERIES)  # fmt: skip
case("LSTM", lambda: layers.LSTM(3, return_sequences=True), truth.lstm, SERIES)
case(
    "LSTM unrolled", lambda: layers.LSTM(3, unroll=True, implementation=1), last(truth.lstm), SERIES
)
case("GRU", lambda: layers.GRU(3), last(truth.gru), SERIES)
case("GRU reset after", lambda: layers.GRU(3, reset_after=True),
     last(truth.gru, reset_after=True), SERIES)  # fmt: skip
case("SimpleRNNCell", lambda: layers.RNN(layers.SimpleRNNCell(3)), last(truth.simple_rnn), SERIES)
case("LSTMCell", lambda: layers.RNN(layers.LSTMCell(3)), last(truth.lstm), SERIES)
case("GRUCell", lambda: layers.RNN(layers.GRUCell(3)), last(truth.gru), SERIES)
case("StackedRNNCells", lambda: layers.RNN(layers.StackedRNNCells(
    [layers.SimpleRNNCell(3), layers.GRUCell(2)])), stacked, SERIES)  # fmt: skip
case("RNN of cells", lambda: layers.RNN([layers.SimpleRNNCell(3), layers.GRUCell(2)]),
     stacked, SERIES)  # fmt: skip
case("ConvLSTM2D", lambda: layers.ConvLSTM2D(3, 2, return_sequences=True),
     truth.conv_lstm, MOVIE)  # fmt: skip
case("ConvLSTM2D same", lambda: layers.ConvLSTM2D(3, 3, padding="same"),
     last(truth.conv_lstm, padding="same"), MOVIE)  # fmt: skip
case("Bidirectional", lambda: layers.Bidirectional(layers.GRU(3, return_sequences=True)),
     lambda w, x: truth.both_ways(truth.gru, w, x), SERIES)  # fmt: skip
case("Bidirectional sum", lambda: layers.Bidirectional(layers.SimpleRNN(3), "sum"),
     lambda w, x: last(truth.simple_rnn)(w[:3], x) + last(truth.simple_rnn)(w[3:], x[:, ::-1]),
     SERIES)  # fmt: skip
case("TimeDistributed", lambda: layers.TimeDistributed(layers.Conv2D(2, 3)),
     lambda w, x: np.stack([truth.convolved(x[:, t], *w) for t in range(3)], 1), MOVIE)  # fmt: skip
case("TimeDistributed model", lambda: layers.TimeDistributed(
    models.Sequential([layers.Dense(3, input_shape=(4,)), layers.Dense(2)])),
    lambda w, x: (x @ w[0] + w[1]) @ w[2] + w[3], SERIES)  # fmt: skip
