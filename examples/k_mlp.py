"""K functions: activations, losses, metrics. A network with one hidden layer tells three wines apart."""

import numpy as np
from sklearn.datasets import load_wine

from symtensor import backend as K


def main():
    features, labels = load_wine(return_X_y=True)
    features = ((features - features.mean(0)) / features.std(0)).astype("f4")
    order = np.random.default_rng(0).permutation(len(labels))
    training, held_out = order[:118], order[118:]

    x, label = K.placeholder((None, 13)), K.placeholder((None,), dtype="int32")
    w1 = K.random_normal_variable((13, 16), 0, 0.3, seed=1)
    w2 = K.random_normal_variable((16, 3), 0, 0.3, seed=2)
    b1, b2 = K.zeros((16,)), K.zeros((3,))
    hidden = K.elu(K.bias_add(K.dot(x, w1), b1))
    chances = K.softmax(K.bias_add(K.dot(hidden, w2), b2))
    loss = K.mean(K.sparse_categorical_crossentropy(label, chances))
    loss = loss + 1e-3 * (K.sum(K.square(w1)) + K.sum(K.square(w2)))

    weights, updates = [w1, b1, w2, b2], []
    for p, g in zip(weights, K.gradients(loss, weights), strict=True):
        mean_square = K.zeros(K.int_shape(p))  # RMSprop
        new = 0.9 * mean_square + 0.1 * K.square(g)
        change = 0.01 * g / (K.sqrt(new) + K.epsilon())
        updates += [K.update(mean_square, new), K.update_sub(p, change)]
    train = K.function([x, label], [loss], updates=updates)
    right = K.mean(K.equal(K.cast(K.argmax(chances), "int32"), label))
    in_two = K.mean(K.in_top_k(chances, label, 2))
    test = K.function([x, label], [right, in_two])

    for _ in range(200):
        (last,) = train([features[training], labels[training]])
    first, second = test([features[held_out], labels[held_out]])
    print(f"loss {last:.3f}, held-out wines right {first:.1%}, within two guesses {second:.1%}")
    assert first >= 0.9 and second >= first


if __name__ == "__main__":
    main()
