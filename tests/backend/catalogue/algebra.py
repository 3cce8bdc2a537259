"""Table E: products, transposition, gathering."""

import numpy as np

from symtensor import backend as K

from .sample import CUBE, RNG, ROW, A, B, fact, sample

# fmt: off


def _batch_dot(labels: str):
    return lambda x, y: np.einsum(labels, x, y)


sample("dot", np.dot, A, B.T)
sample("dot", np.dot, CUBE, B.T, note="3 axes with 2")
sample("dot", np.dot, A[:2, :3], RNG.normal(size=(4, 3, 5)), note="the last but one of 3 axes")
sample("dot", np.dot, CUBE, RNG.normal(size=(2, 1, 4, 2)), note="3 axes with 4")
sample("dot", np.dot, A, ROW, note="a vector")
sample("batch_dot", _batch_dot("bij,bjk->bik"), CUBE, RNG.normal(size=(2, 4, 5)))
sample("batch_dot", lambda x, y: (x * y).sum(1, keepdims=True), A, B, axes=1, note="vectors")
sample("batch_dot", lambda x, y: (x * y).sum(1, keepdims=True), A, B, note="vectors, no axes")
sample("batch_dot", _batch_dot("bij,bj->bi"), CUBE, A[:2], note="3 axes with 2")
sample("batch_dot", _batch_dot("bij,bki->bjk"), RNG.normal(size=(4, 5, 1)),
       RNG.normal(size=(4, 3, 5)), axes=[1, 2], note="an axis of each")
sample("batch_dot", _batch_dot("bijk,blk->bijl"), RNG.normal(size=(2, 2, 3, 4)), CUBE,
       axes=(-1, -1), note="negative axes")
sample("batch_dot", _batch_dot("bijk,bljm->biklm"), RNG.normal(size=(2, 2, 3, 2)),
       RNG.normal(size=(2, 2, 3, 1)), axes=2, note="4 axes with 4")
sample("transpose", np.transpose, A)
sample("transpose", np.transpose, CUBE, note="all axes reversed")
sample("gather", lambda x, i: x[i], A, np.array([2, 0, 2], "i4"))
sample("gather", lambda x, i: x[i], CUBE, np.array([[1, 0], [1, 1]], "i8"),
       note="indices of 2 axes")


@fact("gather")
def lists_of_indices_are_taken():
    np.testing.assert_array_equal(K.eval(K.gather(K.constant(A, "float64"), [1, 1])), A[[1, 1]])
