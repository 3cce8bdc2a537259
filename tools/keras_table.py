"""Write `docs/keras-backend.md`: every function of the Keras backend, and how the engines run it.

    python tools/keras_table.py [--check]

What computes is called on a small sample, compiled and run by both engines, with its gradient; what the
llvm engine leaves to NumPy is read from the remarks of the compiled function. `--check` writes nothing:
the exit code tells whether the page is up to date.
"""

import argparse
import contextlib
import inspect
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import symtensor as st
from symtensor import backend as K

PAGE = Path(__file__).parent.parent / "docs" / "keras-backend.md"
HEAD = """\
# The functions of the Keras backend

<!-- written by tools/keras_table.py: change that, not this page -->

`from symtensor import backend as K`. {count} functions: all of the backend API of Keras 2.3.1, the names of
Keras 1 and those that `tf.keras.backend` added later. Meanings are those of the TensorFlow backend; where it
and the others disagree, [From Theano or Keras 2](migration.md) says what was chosen. Keywords of Keras 1
(`border_mode`, `dim_ordering`, `nb_classes` …) are taken too.

The tables are read from compiled code, float32 samples with the default options. **llvm** and **gradient**
tell how the native engine runs a function and its gradient: *native*, or by call-outs of the ops named to
NumPy. The numpy engine runs everything with NumPy: a tick says that both engines gave the same on the sample.
`·` stands where there is nothing to compute or to differentiate.
"""


class Sample(NamedTuple):
    """A call on placeholders of some shapes; those of ints, by position, hold numbers below 3."""

    build: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    ints: tuple[int, ...] = ()


def on(build: Callable[..., Any], *shapes: tuple[int, ...], ints: tuple[int, ...] = ()) -> Sample:
    return Sample(build, shapes, ints)


def each(names: str, *shapes: tuple[int, ...]) -> dict[str, Sample | None]:
    """Return samples of functions that take tensors alone."""
    return {name: on(getattr(K, name), *shapes) for name in names.split()}


def quiet(names: str) -> dict[str, Sample | None]:
    """Return entries of functions that compute nothing: settings, questions, variables."""
    return dict.fromkeys(names.split())


def drawn(names: str, *arguments: Any) -> dict[str, Sample | None]:
    """Return samples of random numbers, of a shape that is known when the function runs."""
    return {
        name: on(lambda x, name=name: getattr(K, name)(K.shape(x), *arguments, seed=1), M)
        for name in names.split()
    }


def rnn(x: Any) -> Any:
    def step(xt: Any, states: Any) -> Any:
        h = K.tanh(xt + 0.5 * states[0])
        return h, [h]

    return K.rnn(step, x, [K.zeros_like(x[:, 0])])[1]


def ctc_cost(y: Any) -> Any:
    labels, steps = K.constant([[0, 1], [1, 1]], "int32"), K.constant([[5], [5]], "int32")
    return K.ctc_batch_cost(labels, K.softmax(y), steps, K.constant([[2], [1]], "int32"))


def dense_labels(n: Any) -> Any:
    return K.to_dense(K.ctc_label_dense_to_sparse(n, K.constant([2, 1, 3], "int32")))


def normalized(x: Any, a: Any, b: Any) -> Any:
    return K.normalize_batch_in_training(x, a, b, [0])[0]


V, M, T, IMAGE, VOLUME = (4,), (3, 4), (2, 5, 3), (2, 6, 6, 3), (2, 4, 4, 4, 2)
THEMES: dict[str, dict[str, Sample | None]] = {
    "Settings, names, sessions": quiet(
        "backend epsilon set_epsilon floatx set_floatx cast_to_floatx image_data_format "
        "set_image_data_format normalize_data_format get_uid reset_uids clear_session "
        "manual_variable_initialization get_session set_session name_scope symbolic eager "
        "control_dependencies learning_phase set_learning_phase"
    ),
    "Variables, placeholders, constants": {
        **quiet("variable placeholder is_variable is_placeholder is_tensor is_keras_tensor is_sparse"),
        **quiet("zeros ones eye random_uniform_variable random_normal_variable count_params"),
        "constant": on(lambda: K.constant([1.0, 2.0])),
        **each("zeros_like ones_like identity", M),
        "cast": on(lambda x: K.cast(x, "float64"), M),
        "to_dense": on(dense_labels, M, ints=(0,)),
    },
    "Questions": {
        **quiet("int_shape ndim dtype get_variable_shape"), **each("shape size", M),
    },
    "Values, updates, functions": {
        **quiet("eval get_value batch_get_value set_value batch_set_value function update update_add "
                "update_sub moving_average_update"),
        "print_tensor": on(lambda x: K.print_tensor(x, "x:"), M),
        "gradients": on(lambda x: K.gradients(K.sum(x * K.exp(x)), [x])[0], M),
        "stop_gradient": on(K.stop_gradient, M),
    },
    "Products": {
        "dot": on(K.dot, M, (4, 2)), "batch_dot": on(K.batch_dot, T, (2, 3, 4)),
        "transpose": on(K.transpose, M), "gather": on(K.gather, M, (2,), ints=(1,)),
    },
    "Reductions": {
        **{name: on(lambda x, name=name: getattr(K, name)(x, 1), M) for name in
           "max min sum prod mean var std any all argmax argmin logsumexp cumsum cumprod".split()},
    },
    "Elementwise": {
        **each("square abs sqrt exp log round sign sin cos", M),
        "pow": on(lambda x: K.pow(x, 3), M), "clip": on(lambda x: K.clip(x, 0.2, 0.5), M),
        **each("equal not_equal greater greater_equal less less_equal maximum minimum", M, M),
    },
    "Normalization": {
        "normalize_batch_in_training": on(normalized, M, V, V),
        "batch_normalization": on(K.batch_normalization, M, V, V, V, V),
        "l2_normalize": on(lambda x: K.l2_normalize(x, 1), M),
    },
    "Shapes": {
        "concatenate": on(lambda a, b: K.concatenate([a, b]), M, M),
        "reshape": on(lambda x: K.reshape(x, (-1, 2)), M),
        "permute_dimensions": on(lambda x: K.permute_dimensions(x, (2, 0, 1)), T),
        "resize_images": on(lambda x: K.resize_images(x, 2, 3, "channels_last"), IMAGE),
        "resize_volumes": on(lambda x: K.resize_volumes(x, 2, 1, 2, "channels_last"), VOLUME),
        "repeat_elements": on(lambda x: K.repeat_elements(x, 2, 1), M),
        "repeat": on(lambda x: K.repeat(x, 3), M),
        "arange": on(lambda x: K.arange(K.shape(x)[0]), M), "tile": on(lambda x: K.tile(x, (2, 1)), M),
        **each("flatten batch_flatten expand_dims", T),
        "squeeze": on(lambda x: K.squeeze(x, 1), (3, 1, 2)),
        **each("temporal_padding", T), **each("spatial_2d_padding", IMAGE),
        **each("spatial_3d_padding", VOLUME),
        "stack": on(lambda a, b: K.stack([a, b]), M, M),
        "one_hot": on(lambda i: K.one_hot(i, 4), V, ints=(0,)),
        "reverse": on(lambda x: K.reverse(x, 1), M),
        "pattern_broadcast": on(lambda x: K.pattern_broadcast(x, (False, False)), M),
        "slice": on(lambda x: K.slice(x, (1, 0), (2, 3)), M),
    },
    "Control": {
        "rnn": on(rnn, T), "switch": on(lambda x: K.switch(K.sum(x) > 0, x * 2, x), M),
        "in_train_phase": on(lambda x: K.in_train_phase(x * 2, x), M),
        "in_test_phase": on(lambda x: K.in_test_phase(x * 2, x), M),
        "map_fn": on(lambda x: K.map_fn(K.sum, x), M),
        "foldl": on(lambda x: K.foldl(lambda a, v: a * 0.5 + v, x), V),
        "foldr": on(lambda x: K.foldr(lambda a, v: a * 0.5 + v, x), V),
    },
    "Activations": each("relu elu softmax softplus softsign sigmoid hard_sigmoid tanh", M),
    "Losses": {
        "categorical_crossentropy": on(lambda t, y: K.categorical_crossentropy(t, K.softmax(y)), M, M),
        "sparse_categorical_crossentropy": on(
            lambda t, y: K.sparse_categorical_crossentropy(t, K.softmax(y)), (3,), M, ints=(0,)),
        "binary_crossentropy": on(lambda t, y: K.binary_crossentropy(t, K.sigmoid(y)), M, M),
        "in_top_k": on(lambda y, t: K.in_top_k(y, t, 2), M, (3,), ints=(1,)),
    },
    "Random numbers": {
        **drawn("random_normal random_uniform truncated_normal"), **drawn("random_binomial", 0.5),
        "dropout": on(lambda x: K.dropout(x, 0.5, seed=1), M),
    },
    "Convolution and pooling": {
        "conv1d": on(K.conv1d, T, (2, 3, 4)), "conv2d": on(K.conv2d, IMAGE, (3, 3, 3, 4)),
        "conv3d": on(K.conv3d, VOLUME, (2, 2, 2, 2, 3)),
        "conv2d_transpose": on(
            lambda x, k: K.conv2d_transpose(x, k, (2, 8, 8, 4)), IMAGE, (3, 3, 4, 3)),
        "conv3d_transpose": on(
            lambda x, k: K.conv3d_transpose(x, k, (2, 5, 5, 5, 3)), VOLUME, (2, 2, 2, 3, 2)),
        "separable_conv1d": on(K.separable_conv1d, T, (2, 3, 2), (1, 6, 4)),
        "separable_conv2d": on(K.separable_conv2d, IMAGE, (2, 2, 3, 2), (1, 1, 6, 4)),
        "depthwise_conv2d": on(K.depthwise_conv2d, IMAGE, (2, 2, 3, 2)),
        "pool2d": on(lambda x: K.pool2d(x, (2, 2)), IMAGE),
        "pool3d": on(lambda x: K.pool3d(x, (2, 2, 2)), VOLUME),
        "local_conv1d": on(lambda x, k: K.local_conv1d(x, k, (2,), (1,)), T, (4, 6, 3)),
        "local_conv2d": on(
            lambda x, k: K.local_conv2d(x, k, (2, 2), (2, 2), (3, 3)), IMAGE, (9, 12, 2)),
        "bias_add": on(K.bias_add, IMAGE, (3,)),
    },
    "CTC": {
        "ctc_batch_cost": on(ctc_cost, (2, 5, 4)),
        "ctc_decode": on(lambda y: K.ctc_decode(y, K.constant([5, 5], "int32"))[0][0], (2, 5, 4)),
        "ctc_label_dense_to_sparse": on(dense_labels, M, ints=(0,)),
    },
    "Names of Keras 1": {
        **quiet("image_dim_ordering set_image_dim_ordering is_explicit_shape legacy_weight_ordering "
                "set_legacy_weight_ordering"),
        **each("lesser lesser_equal", M, M),
        "pack": on(lambda a, b: K.pack([a, b]), M, M),
        "deconv2d": on(lambda x, k: K.deconv2d(x, k, (2, 8, 8, 4)), IMAGE, (3, 3, 4, 3)),
        "atrous_conv2d": on(lambda x, k: K.atrous_conv2d(x, k, 2), IMAGE, (2, 2, 3, 4)),
        "maxpool2d": on(lambda x: K.maxpool2d(x, (2, 2)), IMAGE),
        **each("asymmetric_temporal_padding", T), **each("asymmetric_spatial_2d_padding", IMAGE),
    },
    "Names that tf.keras.backend added": {
        **quiet("learning_phase_scope symbolic_learning_phase"), **drawn("random_bernoulli", 0.5),
        "local_conv": on(lambda x, k: K.local_conv(x, k, (2,), (1,), (4,)), T, (4, 6, 3)),
    },
}  # fmt: skip
NOTES = {
    "ctc_decode": "Greedy; beam search runs in Python.", "rnn": "A native loop.",
}  # fmt: skip


def call_outs(run: st.Function) -> str:
    """Return *native* or the ops that the llvm engine leaves to NumPy."""
    names = sorted({r.node.op.name for r in run.remarks if r.kind == "call-out"})
    return "call-out: " + ", ".join(names) if names else "native"


def compiled(sample: Sample) -> tuple[str, str, str]:
    """Return how the llvm engine runs a sample, its gradient, and whether the engines agree."""
    xs = [
        K.placeholder(s, dtype="int32" if i in sample.ints else None)
        for i, s in enumerate(sample.shapes)
    ]
    rng = np.random.default_rng(0)
    fed = [
        rng.integers(0, 3, s) if i in sample.ints else rng.random(s)
        for i, s in enumerate(sample.shapes)
    ]
    floats = [x for i, x in enumerate(xs) if i not in sample.ints]
    results = []
    for engine in ("llvm", "numpy"):
        with st.engine(engine), contextlib.redirect_stdout(io.StringIO()):
            y = sample.build(*xs)
            slopes = K.gradients(K.sum(K.cast(y, "float32")), floats) if floats else []
            slopes = [g for g in slopes if g is not None]
            forward, backward = K.function(xs, [y]), K.function(xs, slopes)
            results.append([*forward(fed), *(backward(fed) if slopes else [])])
            if engine == "llvm":
                how = call_outs(forward.program())
                slope = call_outs(backward.program()) if slopes else "·"
    same = all(np.allclose(a, b, 1e-4, 1e-5) for a, b in zip(*results, strict=True))
    return how, slope, "✓" if same else "differs"


def described(name: str) -> str:
    """Return the signature and the first sentence of the docstring, for two cells."""
    function = inspect.unwrap(getattr(K, name))
    bare = [p.replace(annotation=p.empty) for p in inspect.signature(function).parameters.values()]
    meaning = (
        (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    )
    return f"`{name}{inspect.Signature(bare)}` | {meaning} {NOTES.get(name, '')}".rstrip()


def rows_of(theme: dict[str, Sample | None]) -> Iterator[str]:
    """Yield the rows of a table, the header first."""
    computes = any(theme.values())
    titles = ["function", "meaning", *(["llvm", "gradient", "numpy"] if computes else [])]
    yield f"| {' | '.join(titles)} |"
    yield f"|{' --- |' * len(titles)}"
    for name, sample in theme.items():
        cells = compiled(sample) if sample else ("·",) * 3 if computes else ()
        yield f"| {' | '.join([described(name), *cells])} |"


def page() -> str:
    """Return the text of the page."""
    known = [name for theme in THEMES.values() for name in theme]
    if sorted(known) != sorted(K.__all__):
        raise SystemExit(f"not in one table each: {sorted(set(known) ^ set(K.__all__))}")
    parts = [HEAD.format(count=len(known)).rstrip()]
    for title, theme in THEMES.items():
        parts.append(f"\n## {title}\n")
        parts.extend(rows_of(theme))
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    text = page()
    if parser.parse_args().check:
        if PAGE.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{PAGE.name} is not what {Path(__file__).name} writes: run it")
        return
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
