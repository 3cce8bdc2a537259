"""Three ops of one's own: opaque, with a gradient, and fused into native kernels."""

import numpy as np

import symtensor as st

# An opaque op: NumPy computes it, `infer` says what comes out.
median = st.custom_op(
    "median_rows",
    evaluate=lambda x: np.median(x, axis=1),
    infer=lambda x: (x.dtype, x.shape[:1]),
    doc="The median of each row.",
)


# With a gradient: the cotangent goes to the largest element of each row.
def _largest_vjp(g, y, x):
    return [st.where(st.equal(x, y[:, None]), g[:, None], 0)]


largest = st.custom_op(
    "largest_of_rows",
    evaluate=lambda x: x.max(axis=1),
    infer=lambda x: (x.dtype, x.shape[:1]),
    vjp=_largest_vjp,
)

# With a scalar rule it is elementwise, and the llvm engine fuses it.
mish = st.custom_op(
    "mish",
    evaluate=lambda x: x * np.tanh(np.logaddexp(x, 0)),
    vjp=lambda g, y, x: [g * (st.tanh(st.softplus(x))
                              + x * st.sigmoid(x) * (1 - st.square(st.tanh(st.softplus(x)))))],
    scalar=lambda s, x: s.mul(x, s.call("tanh", s.call("log1p", s.call("exp", x)))),
    doc="x * tanh(softplus(x)) (Misra, 2019).",
)  # fmt: skip


def main():
    x = st.placeholder((None, 4), "float64", name="x")
    value = np.random.default_rng(0).standard_normal((5, 4))
    f = st.function([x], [median(x), st.gradients(st.sum(largest(x)), x)], engine="llvm")
    medians, gradient = f(value)
    assert np.allclose(medians, np.median(value, axis=1)) and gradient.sum() == 5

    g = st.function([x], st.sum(mish(2 * x) + 1), engine="llvm")
    print(g.explain())
    reference = 2 * value * np.tanh(np.log1p(np.exp(2 * value)))
    assert np.isclose(g(value), np.sum(reference + 1))
    assert g.executable.program.schedule.steps and len(g.executable.kernels()) == 1
    print("medians", medians)


if __name__ == "__main__":
    main()
