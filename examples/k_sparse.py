"""K functions: sparse input. Pixels of digits, half of them 0, as a scipy.sparse matrix.

The product with a dense matrix reads the numbers that are there; training gives what dense training gives.
"""

import numpy as np
from scipy import sparse
from sklearn.datasets import load_digits

from symtensor import backend as K


def trainer(is_sparse):
    """Return functions that train and test softmax regression, and its weights."""
    x, label = K.placeholder((None, 64), sparse=is_sparse), K.placeholder((None,), dtype="int32")
    w, b = K.zeros((64, 10)), K.zeros((10,))
    scores = K.bias_add(K.dot(x, w), b)
    loss = K.mean(K.sparse_categorical_crossentropy(label, scores, from_logits=True))
    updates = [
        K.update_sub(p, 0.5 * g) for p, g in zip([w, b], K.gradients(loss, [w, b]), strict=True)
    ]
    assert K.is_sparse(x) == is_sparse
    return K.function([x, label], [loss], updates), K.function([x], [K.argmax(scores)]), w


def main():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("f4")
    matrix = sparse.csr_matrix(images)
    train, test, w = trainer(True)
    train_dense, _, dense = trainer(False)
    for _ in range(200):
        train([matrix[:1400], labels[:1400]])
        train_dense([images[:1400], labels[:1400]])
    right = np.mean(test([matrix[1400:]])[0] == labels[1400:])
    difference = abs(K.get_value(w) - K.get_value(dense)).max()
    joined = K.concatenate([K.variable(matrix[:2]), K.variable(matrix[2:4])], axis=0)
    assert K.is_sparse(joined) and (K.eval(joined) == images[:4]).all()
    full = matrix.nnz / images.size
    print(
        f"{full:.0%} of the pixels, held-out digits right {right:.1%}, from dense {difference:.1e}"
    )
    assert right >= 0.85 and difference < 1e-3


if __name__ == "__main__":
    main()
