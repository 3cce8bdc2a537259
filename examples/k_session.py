"""K functions: sessions, names, order of updates. A program for TensorFlow 1 fetches and feeds."""

import numpy as np

from symtensor import backend as K


def main():
    K.clear_session()
    with K.name_scope("counter"):
        total, count = K.variable(0.0, name="total"), K.variable(0.0, name="count")
    x = K.placeholder((None,), name="x")
    updates = [
        K.update_add(total, K.sum(x)),
        K.update_add(count, K.cast(K.shape(x)[0], "float32")),
    ]
    with K.control_dependencies(updates):  # what is made here reads the new values
        mean = K.identity(total / count)

    session = K.get_session()
    values = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    running = [session.run(mean, feed_dict={x: part}) for part in np.split(values, 3)]
    np.testing.assert_allclose(running, [2.0, 2.25, 23 / 6], rtol=1e-6)

    found = session.run({"shape": K.shape(x), "largest": K.max(x)}, {x: values})
    assert found["shape"].tolist() == [6] and found["largest"] == 9
    assert K.eval(K.update(count, 0)) == 0 and K.get_value(count) == 0
    print(
        f"{total.name} {session.run(total):.0f}, running means {[round(float(m), 3) for m in running]}"
    )


if __name__ == "__main__":
    main()
