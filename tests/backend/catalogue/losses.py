"""Table L: losses and metrics; the truths are worked out from logits."""

import numpy as np
import scipy.special

from symtensor import backend as K

from .sample import RNG, sample

# fmt: off

LOGITS = RNG.normal(size=(5, 3))
P = scipy.special.softmax(LOGITS, 1)
LABELS = np.array([0, 2, 1, 1, 0])
SOFT = RNG.dirichlet(np.ones(3), 5)
BITS = (RNG.random((5, 3)) < 0.5) * 1.0
EPSILON = 1e-7


def cross_entropy(axis=-1):
    return lambda y, z: -(y * (z - scipy.special.logsumexp(z, axis, keepdims=True))).sum(axis)


def of_probabilities(axis=-1):
    return lambda y, p: -(y * np.log(p / p.sum(axis, keepdims=True))).sum(axis)


def of_labels(labels, z):
    return scipy.special.logsumexp(z, -1) - np.take_along_axis(z, labels.reshape(-1, 1), -1)[:, 0]


def bits(y, p):
    return -(y * np.log(p + EPSILON) + (1 - y) * np.log(1 - p + EPSILON))


sample("categorical_crossentropy", of_probabilities(), SOFT, P * 2)
sample("categorical_crossentropy", cross_entropy(), SOFT, LOGITS, from_logits=True, note="logits")
sample("categorical_crossentropy", of_probabilities(0), SOFT.T, P.T, axis=0, note="an axis")
sample("categorical_crossentropy", cross_entropy(0), SOFT.T, LOGITS.T, from_logits=True, axis=0,
       note="logits along an axis")
sample("categorical_crossentropy", cross_entropy(), SOFT, LOGITS, note="seen through softmax",
       build=lambda y, z: K.categorical_crossentropy(y, K.softmax(z)))
sample("sparse_categorical_crossentropy", lambda i, p: of_labels(i, np.log(p)), LABELS, P)
sample("sparse_categorical_crossentropy", of_labels, LABELS, LOGITS, from_logits=True,
       note="logits")
sample("sparse_categorical_crossentropy", of_labels, LABELS[:, None], LOGITS, from_logits=True,
       known=True, note="labels in a column")
sample("sparse_categorical_crossentropy", lambda i, p: of_labels(i, np.log(p.T)), LABELS, P.T, axis=0,
       note="an axis")
sample("sparse_categorical_crossentropy", of_labels, LABELS, LOGITS, note="seen through softmax",
       build=lambda i, z: K.sparse_categorical_crossentropy(i, K.softmax(z)))
sample("binary_crossentropy", bits, BITS, scipy.special.expit(LOGITS))
sample("binary_crossentropy", bits, SOFT, scipy.special.expit(LOGITS), note="soft targets")
sample("binary_crossentropy", lambda y, z: np.logaddexp(0, z) - y * z, BITS, LOGITS, from_logits=True,
       note="logits")
sample("binary_crossentropy", lambda y, z: np.logaddexp(0, z) - y * z, BITS, LOGITS,
       note="seen through sigmoid", build=lambda y, z: K.binary_crossentropy(y, K.sigmoid(z)))
for k in (1, 2):
    sample("in_top_k", lambda p, i, k=k: (np.argsort(-p)[:, :k] == i[:, None]).any(1), P,
           LABELS.astype("i4"), k=k, gives="bool", note=f"{k}")
