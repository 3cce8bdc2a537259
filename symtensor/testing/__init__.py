"""Checking ops and engines from outside: samples with truth, gradients, conformance.

`samples` says what a sample is and `catalog` holds them; `compare` measures errors; `checks` runs
one sample in one way; `gradcheck` compares derivatives with finite differences; `conformance` is
the kit for whoever writes an engine; `reduction` makes failing graphs small.
"""

from symtensor.testing.compare import assert_close, ulp_distance
from symtensor.testing.gradcheck import check_gradients
from symtensor.testing.samples import Sample, all_samples

__all__ = ["Sample", "all_samples", "assert_close", "check_gradients", "ulp_distance"]
