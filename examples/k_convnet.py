"""K functions: convolution, pooling, batch normalization by the learning phase. Digits.

What Keras's layers do is written out: statistics of the batch while training, moving averages afterwards.
"""

import numpy as np
from sklearn.datasets import load_digits

from symtensor import backend as K


def convolution(x, shape, seed, updates):
    """Return normalized features of a convolution, and its weights; add the moving averages."""
    kernel = K.truncated_normal(shape, stddev=(2 / np.prod(shape[:3])) ** 0.5, seed=seed)
    kernel, channels = K.variable(kernel), (shape[-1],)
    gamma, beta = K.ones(channels), K.zeros(channels)
    mean, variance = K.zeros(channels), K.ones(channels)
    y = K.conv2d(x, kernel, padding="same")
    normed, batch_mean, batch_variance = K.normalize_batch_in_training(y, gamma, beta, [0, 1, 2])
    updates += [
        K.moving_average_update(mean, batch_mean, 0.9),
        K.moving_average_update(variance, batch_variance, 0.9),
    ]
    y = K.in_train_phase(normed, lambda: K.batch_normalization(y, mean, variance, beta, gamma))
    return K.relu(y), [kernel, gamma, beta]


def main():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8, 1).astype("f4")
    rng = np.random.default_rng(0)
    order = rng.permutation(len(images))
    training, held_out = order[:1400], order[1400:]

    x, label = K.placeholder((None, 8, 8, 1)), K.placeholder((None,), dtype="int32")
    updates = []
    first, weights = convolution(x, (3, 3, 1, 16), 1, updates)
    second, more = convolution(K.pool2d(first, (2, 2), (2, 2)), (3, 3, 16, 32), 2, updates)
    flat = K.batch_flatten(K.pool2d(second, (2, 2), (2, 2), pool_mode="avg"))
    last = K.random_uniform_variable((128, 10), -0.1, 0.1, seed=3)
    scores = K.dot(flat, last)
    weights += [*more, last]
    loss = K.mean(K.sparse_categorical_crossentropy(label, scores, from_logits=True))
    updates += [
        K.update_sub(w, 0.1 * g) for w, g in zip(weights, K.gradients(loss, weights), strict=True)
    ]
    train = K.function([x, label, K.learning_phase()], [loss], updates=updates)
    test = K.function([x, K.learning_phase()], [K.argmax(scores)])

    for _ in range(8):
        for batch in np.array_split(rng.permutation(training), 44):
            train([images[batch], labels[batch], 1])
    right = np.mean(test([images[held_out], 0])[0] == labels[held_out])
    print(f"held-out digits right {right:.1%}")
    assert right >= 0.96


if __name__ == "__main__":
    main()
