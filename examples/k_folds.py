"""K functions: map_fn, foldl, foldr, switch. Loops over elements, each with a known result."""

import numpy as np

from symtensor import backend as K


def main():
    c, x = K.placeholder((None,)), K.placeholder(())
    # Horner's rule from the right: c[0] + x (c[1] + x (c[2] + …))
    value = K.foldr(lambda acc, a: a + x * acc, c)
    (slope,) = K.gradients(value, [x])
    polynomial = K.function([c, x], [value, slope])
    found = polynomial([[1, 2, 3, 4], 2.0])  # 1 + 2x + 3x² + 4x³ at 2
    assert found == [49.0, 62.0]

    series = K.placeholder((None,))
    smooth = K.foldl(lambda acc, v: 0.5 * acc + 0.5 * v, series)
    norms = K.map_fn(lambda row: K.sqrt(K.sum(K.square(row))), K.placeholder((None, 3)))
    assert K.int_shape(norms) == (None,)

    # Collatz's rule: 20 rounds, those after 1 change nothing
    start = K.placeholder((), dtype="int64")

    def rule(state, _):
        n, steps = state[0], state[1]
        odd = K.equal(n - n // 2 * 2, 1)
        following = K.switch(odd, 3 * n + 1, n // 2)
        going = K.greater(n, 1)
        return K.stack([K.switch(going, following, n), steps + K.cast(going, "int64")])

    end = K.foldl(rule, K.arange(20), K.stack([start, start * 0]))
    collatz, average = K.function([start], [end]), K.function([series], [smooth])
    (state,) = collatz([6])
    (mean,) = average([np.arange(8.0)])
    print(
        f"polynomial {found[0]:.0f}, slope {found[1]:.0f}; average {mean:.4f}; "
        f"6 reaches {state[0]} in {state[1]} steps"
    )
    assert list(state) == [1, 8] and abs(mean - (7 - (1 - 2.0**-7))) < 1e-6


if __name__ == "__main__":
    main()
