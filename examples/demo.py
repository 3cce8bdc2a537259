"""Train an MLP on the digits data through the llvm engine, and look at what was compiled.

1. Define the model, its loss and Adam as one graph with updates.
2. Train it to at least 97 % on held-out digits.
3. Compare one training step with the NumPy engine.
4. Print the graph before and after optimization and the LLVM code of one fused kernel.
"""

import re
import sys
import time

import numpy as np
from sklearn.datasets import load_digits

import symtensor as st

EPOCHS, BATCH, HIDDEN = 40, 32, 128


def load_data():
    """Return training and held-out images (scaled to [0, 1]) and labels."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images = (images[order] / 16).astype(np.float32)
    labels = labels[order].astype(np.int32)
    cut = len(images) * 4 // 5
    return (images[:cut], labels[:cut]), (images[cut:], labels[cut:])


def make_model():
    """Return inputs, class scores, loss and parameters."""
    rng = np.random.default_rng(1)

    def weights(rows, columns, name):
        values = rng.standard_normal((rows, columns)) * np.sqrt(2 / rows)
        return st.variable(values.astype(np.float32), name=name)

    x = st.placeholder((None, 64), name="x")
    label = st.placeholder((None,), dtype="int32", name="label")
    w1, b1 = weights(64, HIDDEN, "w1"), st.variable(np.zeros(HIDDEN, np.float32), name="b1")
    w2, b2 = weights(HIDDEN, 10, "w2"), st.variable(np.zeros(10, np.float32), name="b2")
    hidden = st.relu(x @ w1 + b1)
    scores = hidden @ w2 + b2
    loss = st.mean(st.sparse_categorical_crossentropy(label, scores, from_logits=True))
    return x, label, scores, loss, [w1, b1, w2, b2]


def adam(loss, parameters, rate=1e-3, decay1=0.9, decay2=0.999, epsilon=1e-8):
    """Return the updates of Adam (Kingma and Ba, 2015)."""
    step = st.variable(np.float32(0), name="step")
    t = step + 1
    updates = [(step, t)]
    for p, g in zip(parameters, st.gradients(loss, parameters), strict=True):
        m = st.variable(np.zeros_like(p.get_value()), name=f"{p.name}_m")
        v = st.variable(np.zeros_like(p.get_value()), name=f"{p.name}_v")
        m_next = decay1 * m + (1 - decay1) * g
        v_next = decay2 * v + (1 - decay2) * st.square(g)
        unbiased = (m_next / (1 - decay1**t)) / (st.sqrt(v_next / (1 - decay2**t)) + epsilon)
        updates += [(m, m_next), (v, v_next), (p, p - rate * unbiased)]
    return updates


def train_model(train, predict, data, held_out):
    """Run all epochs with a progress line; return the held-out accuracy."""
    images, labels = data
    rng = np.random.default_rng(2)
    start = time.perf_counter()
    for epoch in range(1, EPOCHS + 1):
        order = rng.permutation(len(images))
        losses = [
            train(images[i], labels[i]) for i in np.split(order, range(BATCH, len(order), BATCH))
        ]
        accuracy = float(np.mean(predict(held_out[0]) == held_out[1]))
        seconds = time.perf_counter() - start
        print(
            f"\repoch {epoch:3d}/{EPOCHS}  loss {np.mean(losses):.4f}  "
            f"held-out accuracy {accuracy:.4f}  {seconds:.1f} s",
            end="",
            file=sys.stderr,
            flush=True,
        )
    print(file=sys.stderr)
    return accuracy


def compare_engines(x, label, loss, parameters, batch):
    """Return the largest difference of one gradient step between the two engines."""
    gradients = st.gradients(loss, parameters)
    results = [
        st.function([x, label], [loss, *gradients], engine=engine)(*batch)
        for engine in ("llvm", "numpy")
    ]
    return max(float(np.abs(a - b).max()) for a, b in zip(*results, strict=True))


def head(text, lines):
    """Return the first lines of a text and how many are left."""
    rows = text.splitlines()
    rest = [f"  … {len(rows) - lines} more lines"] if len(rows) > lines else []
    return "\n".join(rows[:lines] + rest)


def main():
    x, label, scores, loss, parameters = make_model()
    start = time.perf_counter()
    train = st.function(
        [x, label], loss, updates=adam(loss, parameters), engine="llvm", name="train"
    )
    predict = st.function([x], st.argmax(scores, axis=1), engine="llvm", name="predict")
    print(f"compiled two functions in {time.perf_counter() - start:.2f} s")

    data, held_out = load_data()
    accuracy = train_model(train, predict, data, held_out)
    print(f"held-out accuracy {accuracy:.4f} on {len(held_out[0])} digits")
    print(
        f"compiles of `train` for batches of {BATCH} and of the odd last one: {train.compile_count}"
    )

    batch = data[0][:BATCH], data[1][:BATCH]
    difference = compare_engines(x, label, loss, parameters, batch)
    print(f"largest difference of a gradient step, llvm against numpy: {difference:.2e}")

    print("\nThe prediction as defined:")
    print(st.print_graph(predict.graph))
    print("\nThe training step after optimization (head):")
    print(head(st.print_graph(train.optimized), 30))
    kernels = train.executable.kernels()
    name = max(kernels, key=lambda n: kernels[n].count("\n"))
    print(f"\nThe loop tree of its largest kernel, {name}:")
    print(kernels[name])
    code = train.executable.llvm_ir
    body = code[re.search(rf"define i32 @{name}[.(]", code).start() :]
    print("\nIts LLVM code (head):")
    print(head(body[: body.index("\n}") + 2], 60))

    if accuracy < 0.97 or difference > 1e-4:
        raise SystemExit("the demo missed its goals: accuracy 0.97, difference 1e-4")


if __name__ == "__main__":
    main()
