"""Tables P and Q: names of Keras 1, and names of tf.keras after 2.3.1."""

import numpy as np
import pytest

from symtensor import backend as K

from .convolution import IMAGE, KERNELS, LENGTH, adjoint, correlated, first, pooled
from .sample import A, B, fact, sample

# fmt: off

FIRST = np.moveaxis(IMAGE, -1, 1)

sample("pack", lambda x, y: np.stack([x, y]), A, B, build=lambda x, y: K.pack([x, y]))
sample("maxpool2d", lambda x: pooled(x, (2, 2), 1, "valid", "max"), IMAGE, pool_size=(2, 2),
       known=True)
sample("asymmetric_temporal_padding", lambda x: np.pad(x, [(0, 0), (1, 1), (0, 0)]), LENGTH)
sample("asymmetric_temporal_padding", lambda x: np.pad(x, [(0, 0), (2, 0), (0, 0)]), LENGTH, left_pad=2,
       right_pad=0, note="amounts")
sample("asymmetric_spatial_2d_padding", lambda x: np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]),
       IMAGE)
sample("asymmetric_spatial_2d_padding", lambda x: np.pad(x, [(0, 0), (0, 0), (1, 2), (0, 3)]),
       FIRST, top_pad=1, bottom_pad=2, left_pad=0, right_pad=3, dim_ordering="th",
       note="amounts, th")
sample("deconv2d", lambda y, k: adjoint(y, k, IMAGE.shape), correlated(IMAGE, KERNELS[2]),
       KERNELS[2], output_shape=IMAGE.shape, known=True)
sample("deconv2d", first(lambda y, k: adjoint(y, k, IMAGE.shape, 2, "same")),
       np.moveaxis(correlated(IMAGE, KERNELS[2], 2, "same"), -1, 1), KERNELS[2],
       output_shape=FIRST.shape, strides=(2, 2), border_mode="same", dim_ordering="th",
       image_shape=None, filter_shape=None, known=True, note="all options")
sample("atrous_conv2d", lambda x, k: correlated(x, k, dilation=2), IMAGE, KERNELS[2], rate=2,
       known=True)
sample("atrous_conv2d", first(lambda x, k: correlated(x, k, 1, "same", 2)), FIRST, KERNELS[2],
       rate=2, border_mode="same", dim_ordering="th", known=True, note="same, th")


@fact("is_explicit_shape")
def explicit_shapes_hold_ints():
    assert K.is_explicit_shape((2, 3)) and K.is_explicit_shape([])
    assert not K.is_explicit_shape((None, 3)) and not K.is_explicit_shape(None)


@fact("legacy_weight_ordering", "set_legacy_weight_ordering")
def the_legacy_flag_is_kept():
    assert K.legacy_weight_ordering() is False
    K.set_legacy_weight_ordering(True)
    assert K.legacy_weight_ordering() is True
    K.set_legacy_weight_ordering(False)
    with pytest.raises(ValueError, match="True or False"):
        K.set_legacy_weight_ordering("yes")


@fact("learning_phase_scope")
def a_phase_is_fixed_within_a_scope():
    with pytest.raises(RuntimeError), K.learning_phase_scope(1):
        with K.learning_phase_scope(0):
            assert K.learning_phase() == 0
        assert K.learning_phase() == 1
        raise RuntimeError
    assert K.is_tensor(K.learning_phase())


@fact("symbolic_learning_phase")
def the_symbolic_phase_stays_beside_a_fixed_one():
    with K.learning_phase_scope(1):
        phase = K.symbolic_learning_phase()
    assert K.is_tensor(phase) and phase is K.learning_phase()
