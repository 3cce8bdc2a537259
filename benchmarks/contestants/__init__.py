"""Who runs the workloads: a file per library, in that library's own words."""

from benchmarks.contestants.contestant import Contestant, Program
from benchmarks.contestants.jax_jit import Jax
from benchmarks.contestants.numexpr_strings import NumExpr
from benchmarks.contestants.numpy_arrays import NumPy
from benchmarks.contestants.pytensor_functions import PyTensor
from benchmarks.contestants.symtensor_functions import Symtensor
from benchmarks.contestants.tensorflow_functions import TensorFlow
from benchmarks.contestants.torch_compiled import TorchCompile
from benchmarks.contestants.torch_eager import Torch

CONTESTANTS: list[type[Contestant]] = [
    Symtensor, NumPy, NumExpr, Jax, Torch, TorchCompile, TensorFlow, PyTensor,
]  # fmt: skip

__all__ = ["CONTESTANTS", "Contestant", "NumPy", "Program", "Symtensor"]
