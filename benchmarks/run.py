"""Time symtensor beside its peers, in one process and one run, and print ratios of medians.

Each workload is checked for equal results before it is timed. Peers are those of numpy (always), jax,
torch and pytensor that are installed. Runs alternate between the contestants, so that a machine whose
speed drifts slows all of them. One thread each, unless --threads says otherwise.

    python benchmarks/run.py [--threads N] [--only WORD] [--rounds N]
"""

import argparse
import os
import statistics
import time

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--only", default="")
parser.add_argument("--rounds", type=int, default=15)
OPTIONS = parser.parse_args()
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(OPTIONS.threads)
if OPTIONS.threads == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import numpy as np  # noqa: E402  (threads are set before)

import symtensor as st  # noqa: E402

RNG = np.random.default_rng(0)


def float32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


# --- workloads: name -> (arguments, symtensor expression, NumPy-like expression) -------------------


def adam_like(xp, p, m, v, g):
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    return p - 0.001 * m / (xp.sqrt(v) + 1e-8)


def softmax(xp, x):
    e = xp.exp(x - xp.max(x, axis=1, keepdims=True))
    return e / xp.sum(e, axis=1, keepdims=True)


def layer_norm(xp, x):
    center = x - xp.mean(x, axis=1, keepdims=True)
    return center / xp.sqrt(xp.mean(center * center, axis=1, keepdims=True) + 1e-5)


def polynomial(xp, a, b):
    return xp.tanh(2 * a + b) * xp.exp(-a) + xp.sin(b)


WORKLOADS = {
    "2x + 1, 10 elements": ((float32(10),), lambda xp, x: 2 * x + 1),
    "2a + b, 4M": ((float32(4_000_000), float32(4_000_000)), lambda xp, a, b: 2 * a + b),
    "tanh(2a+b) exp(-a) + sin b, 4M": ((float32(4_000_000), float32(4_000_000)), polynomial),
    "sum((a-b)^2), 4M": ((float32(4_000_000), float32(4_000_000)),
                         lambda xp, a, b: xp.sum((a - b) * (a - b))),
    "softmax 4096x1024": ((float32(4096, 1024),), softmax),
    "layer norm 4096x1024": ((float32(4096, 1024),), layer_norm),
    "sum axis 0, 4096x1024": ((float32(4096, 1024),), lambda xp, x: xp.sum(x, axis=0)),
    "Adam update, 1M": (tuple(abs(float32(1_000_000)) for _ in range(4)), adam_like),
}  # fmt: skip


# --- contestants -----------------------------------------------------------------------------------


def symtensor_call(expression, arrays):
    inputs = [st.placeholder((None,) * a.ndim) for a in arrays]
    start = time.perf_counter()
    f = st.function(inputs, expression(st, *inputs), engine="llvm")
    f(*arrays)
    return (lambda: f(*arrays)), time.perf_counter() - start


def numpy_call(expression, arrays):
    return (lambda: expression(np, *arrays)), 0.0


def jax_call(expression, arrays):
    import jax
    import jax.numpy as jnp

    given = [jnp.asarray(a) for a in arrays]
    start = time.perf_counter()
    f = jax.jit(lambda *xs: expression(jnp, *xs))
    jax.block_until_ready(f(*given))
    return (lambda: jax.block_until_ready(f(*given))), time.perf_counter() - start


def torch_call(expression, arrays):
    import torch

    torch.set_num_threads(OPTIONS.threads)
    given = [torch.from_numpy(a) for a in arrays]

    class Names:
        exp, sin, tanh, sqrt = torch.exp, torch.sin, torch.tanh, torch.sqrt

        @staticmethod
        def sum(x, axis=None, keepdims=False):
            return x.sum() if axis is None else x.sum(dim=axis, keepdim=keepdims)

        @staticmethod
        def mean(x, axis, keepdims):
            return x.mean(dim=axis, keepdim=keepdims)

        @staticmethod
        def max(x, axis, keepdims):
            return x.amax(dim=axis, keepdim=keepdims)

    return (lambda: expression(Names, *given)), 0.0


def contestants():
    found = {"symtensor": symtensor_call, "numpy": numpy_call}
    for name, make in (("jax", jax_call), ("torch", torch_call)):
        try:
            __import__(name)
        except ImportError:
            continue
        found[name] = make
    return found


# --- timing ----------------------------------------------------------------------------------------


def once(call, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def compare(name, arrays, expression, makers):
    calls, compile_seconds = {}, {}
    reference = np.asarray(numpy_call(expression, arrays)[0]())
    for who, make in makers.items():
        calls[who], compile_seconds[who] = make(expression, arrays)
        np.testing.assert_allclose(np.asarray(calls[who]()), reference, rtol=2e-4, atol=2e-4)
    repeats = {who: max(1, int(0.02 / max(once(call, 3), 1e-7))) for who, call in calls.items()}
    times = {who: [] for who in calls}
    for _ in range(OPTIONS.rounds):
        for who, call in calls.items():
            times[who].append(once(call, repeats[who]))
    medians = {who: statistics.median(t) for who, t in times.items()}
    mine = medians["symtensor"]
    row = f"| {name} | {mine * 1e6:.1f} "
    for who in list(makers)[1:]:
        row += f"| {medians[who] * 1e6:.1f} ({mine / medians[who]:.2f}) "
    print(f"{row}| {compile_seconds['symtensor'] * 1e3:.0f} |", flush=True)


def main():
    makers = contestants()
    print(f"threads: {OPTIONS.threads}; microseconds per call, in brackets symtensor / peer")
    columns = ["work", "symtensor", *list(makers)[1:], "compile ms"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for name, (arrays, expression) in WORKLOADS.items():
        if OPTIONS.only in name:
            compare(name, arrays, expression, makers)


if __name__ == "__main__":
    main()
