"""K functions: random numbers, dropout, the learning phase. Means over many draws are what theory says."""

import numpy as np

from symtensor import backend as K


def main():
    points = K.random_uniform((200_000, 2), seed=1)
    inside = K.mean(K.cast(K.sum(K.square(points), axis=1) < 1, "float32"))
    throw = K.function([], [4 * inside])
    pi = np.mean([throw([])[0] for _ in range(20)])  # new numbers at every call

    x = K.placeholder((None, 100))
    dropped = K.in_train_phase(K.dropout(x, 0.25, seed=2), x)
    run = K.function([x, K.learning_phase()], [dropped])
    ones = np.ones((1000, 100), "f4")
    (training,), (testing,) = run([ones, 1]), run([ones, 0])
    gone = np.mean(training == 0)

    cut = K.eval(K.truncated_normal((200_000,), stddev=2.0, seed=3))
    heads = K.eval(K.random_binomial((200_000,), p=0.3, seed=4)).mean()
    again = [K.eval(K.random_normal((3,), seed=5)) for _ in range(2)]
    print(f"pi {pi:.3f}, dropped {gone:.3f}, truncated {cut.std() / 2:.3f}, heads {heads:.3f}")
    assert abs(pi - np.pi) < 0.01 and abs(gone - 0.25) < 0.01
    assert set(np.unique(training)) == {0.0, np.float32(1 / 0.75)} and (testing == 1).all()
    assert abs(cut).max() <= 4 and abs(cut.std() / 2 - 0.8796) < 0.01 and abs(heads - 0.3) < 0.01
    assert (again[0] == again[1]).all()


if __name__ == "__main__":
    main()
