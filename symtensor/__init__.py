"""symtensor: a define-then-run symbolic tensor compiler.

Build with `placeholder`, `variable` and the functions below, differentiate with `gradients`,
compile with `function`. Names follow NumPy; `symtensor.<unknown>` says what the name is here.
"""

# ruff: noqa: I001  (by theme, many names to a line)

from __future__ import annotations

from importlib import import_module as _import_module
from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING, Any as _Any

from symtensor.vocabulary import suggestion as _suggestion
from symtensor.errors import (
    ArgumentError, AssertionFailed, AttributeValueError, CheckError, ConfigError, DTypeError,
    EngineError, FunctionError, GradientError, IndexOutOfRange, LinAlgError, LoweringError,
    MissingInputError, NonFiniteError, OutOfRangeError, OutputError, ParseError, RuleError,
    ShapeError, SymbolicValueError, SymtensorError, SymtensorWarning, UnknownNameError,
    UnusedInputError, UpdateError, VerifyError,
)  # fmt: skip
from symtensor.config import config, engine
from symtensor.ir.dims import Dim, DimExpr, dim
from symtensor.ir.dtypes import (
    DType, as_dtype, bool_, float16, float32, float64, int16, int32, int64, int8, promote,
    uint16, uint32, uint64, uint8,
)  # fmt: skip
from symtensor.ir.graph import Graph
from symtensor.ir.location import name_scope
from symtensor.ir.node import Node, Op
from symtensor.ir.tensor import Tensor
from symtensor.ir.types import TensorType
from symtensor.ops import linalg, random
from symtensor.ops.build import as_tensor
from symtensor.ops.registry import seal as _seal_ops
from symtensor.ops.inputs import constant, dim_value, placeholder
from symtensor.ops.variables import Variable, variable
from symtensor.ops.elementwise import (
    abs, add, cbrt, copysign, divide, divmod, exp, exp2, expm1, floor_divide, fmod, log, log10,
    log1p, log2, logaddexp, logaddexp2, multiply, negative, positive, power, reciprocal,
    remainder, rsqrt, sigmoid, sign, softplus, sqrt, square, subtract, xlogy,
)  # fmt: skip
from symtensor.ops.rounding import ceil, floor, nextafter, rint, round, trunc
from symtensor.ops.selection import (
    clip, fmax, fmin, heaviside, maximum, minimum, nan_to_num, relu,
)  # fmt: skip
from symtensor.ops.trigonometry import (
    arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, cos, cosh, deg2rad, hypot,
    rad2deg, sin, sinh, tan, tanh,
)  # fmt: skip
from symtensor.ops.special import digamma, erf, erfc, lgamma, polygamma
from symtensor.ops.logic import (
    bitwise_and, bitwise_or, bitwise_xor, cast, equal, greater, greater_equal, invert, isfinite,
    isinf, isnan, isneginf, isposinf, left_shift, less, less_equal, logical_and, logical_not,
    logical_or, logical_xor, not_equal, right_shift, signbit, where,
)  # fmt: skip
from symtensor.ops.creation import (
    arange, eye, full, full_like, indices, linspace, meshgrid, ones, ones_like, tri, tril,
    triu, zeros, zeros_like,
)  # fmt: skip
from symtensor.ops.movement import (
    atleast_1d, atleast_2d, atleast_3d, broadcast_to, expand_dims, flip, moveaxis, ravel,
    reshape, rot90, specify_shape, squeeze, swapaxes, transpose,
)  # fmt: skip
from symtensor.ops.joining import (
    array_split, concatenate, repeat, roll, split, stack, tile, unstack,
)  # fmt: skip
from symtensor.ops.padding import pad
from symtensor.ops.convolution import (
    average_pool, conv, conv_transpose, depthwise_conv, max_pool, overlap_add, windows,
)  # fmt: skip
from symtensor.ops.indexing import gather, one_hot, put_along_axis, take, take_along_axis
from symtensor.ops.subscript import add_at, getitem, set_at
from symtensor.ops.sort import argsort, bincount, searchsorted, sort, top_k
from symtensor.ops.reduction import (
    all, any, argmax, argmin, max, min, prod, sum,
)  # fmt: skip
from symtensor.ops.statistics import (
    average, count_nonzero, logsumexp, mean, norm, ptp, std, var,
)  # fmt: skip
from symtensor.ops.running import cumprod, cumsum, diff
from symtensor.ops.contraction import (
    contract, diag, diagonal, dot, inner, matmul, outer, tensordot, trace, vdot,
)  # fmt: skip
from symtensor.ops.einsum import einsum
from symtensor.ops.composite import (
    accuracy, batch_norm, binary_crossentropy, categorical_crossentropy, elu, gelu,
    hard_sigmoid, huber, l2_normalize, layer_norm, leaky_relu, log_softmax, mean_absolute_error,
    mean_squared_error, moments, selu, silu, softmax, softsign, sparse_categorical_crossentropy,
)  # fmt: skip
from symtensor.ops.effects import assert_, grad_clip, grad_scale, print_, stop_gradient
from symtensor.autodiff.gradients import gradients
from symtensor.autodiff.provenance import why_no_gradient
from symtensor.function import Function, In, Input, function
from symtensor.engines.base import Engine, available_engines, get_engine, register_engine
from symtensor.ops.control import cond, while_loop
from symtensor.ops.scan import foldl, foldr, map_, reduce, scan, until
from symtensor.ops.pipelining import pipelined
from symtensor.ops.custom import custom_op
from symtensor.ops.random import RandomStream, erfinv
from symtensor.autodiff.jvp import (
    custom_gradient, hessian, hessian_vector_product, jacobian, jvp, vjp,
)  # fmt: skip
from symtensor.passes.pipeline import (
    Pass, optimize, register_pass, run_pipeline, unregister_pass,
)  # fmt: skip
from symtensor.passes.rewrite import P, Rule, Var, rewrite_pass
from symtensor.inspect import debugprint, parse_graph, print_graph
from symtensor.ops import operators as _operators  # noqa: F401  (gives Tensor its operators)

if TYPE_CHECKING:
    from symtensor import testing as testing
    from symtensor.export.graphviz import to_dot, to_svg
    from symtensor.export.model_explorer import to_model_explorer
    from symtensor.export.networkx import to_networkx
    from symtensor.export.onnx import to_onnx
    from symtensor.export.stablehlo import to_stablehlo

__version__ = "0.1.0"

__all__ = [
    "ArgumentError", "AssertionFailed", "AttributeValueError", "CheckError", "ConfigError", "DType",
    "DTypeError", "Dim", "DimExpr", "Engine", "EngineError", "Function", "FunctionError",
    "GradientError", "Graph", "In", "IndexOutOfRange", "Input", "LinAlgError", "LoweringError",
    "MissingInputError", "Node", "NonFiniteError", "Op", "OutOfRangeError", "OutputError", "P",
    "ParseError", "Pass", "RandomStream", "Rule", "RuleError", "ShapeError", "SymbolicValueError",
    "SymtensorError", "SymtensorWarning", "Tensor", "TensorType", "UnknownNameError",
    "UnusedInputError", "UpdateError", "Var", "Variable", "VerifyError", "__version__", "abs",
    "accuracy", "add", "add_at", "all", "any", "arange", "arccos", "arccosh", "arcsin", "arcsinh",
    "arctan", "arctan2", "arctanh", "argmax", "argmin", "argsort", "array_split", "as_dtype",
    "as_tensor", "assert_",
    "atleast_1d", "atleast_2d", "atleast_3d", "available_engines", "average", "average_pool",
    "batch_norm", "binary_crossentropy", "bincount", "bitwise_and", "bitwise_or", "bitwise_xor",
    "bool_", "broadcast_to", "cast", "categorical_crossentropy", "cbrt", "ceil", "clip",
    "concatenate", "cond", "config", "constant", "contract", "conv", "conv_transpose", "copysign",
    "cos", "cosh", "count_nonzero", "cumprod", "cumsum", "custom_gradient", "custom_op",
    "debugprint", "deg2rad", "depthwise_conv", "diag", "diagonal", "diff", "digamma", "dim",
    "dim_value", "divide", "divmod", "dot", "einsum", "elu", "engine", "equal", "erf", "erfc",
    "erfinv", "exp", "exp2", "expand_dims", "expm1", "eye", "flip", "float16", "float32", "float64",
    "floor", "floor_divide", "fmax", "fmin", "fmod", "foldl", "foldr", "full", "full_like",
    "function", "gather", "gelu", "get_engine", "getitem", "grad_clip", "grad_scale", "gradients",
    "greater", "greater_equal", "hard_sigmoid", "heaviside", "hessian", "hessian_vector_product",
    "huber", "hypot", "indices", "inner", "int8", "int16", "int32", "int64", "invert", "isfinite",
    "isinf", "isnan", "isneginf", "isposinf", "jacobian", "jvp", "l2_normalize", "layer_norm",
    "leaky_relu", "left_shift", "less", "less_equal", "lgamma", "linalg", "linspace", "log",
    "log1p", "log2", "log10", "log_softmax", "logaddexp", "logaddexp2", "logical_and",
    "logical_not", "logical_or", "logical_xor", "logsumexp", "map_", "matmul", "max", "max_pool",
    "maximum", "mean", "mean_absolute_error", "mean_squared_error", "meshgrid", "min", "minimum",
    "moments", "moveaxis", "multiply", "name_scope", "nan_to_num", "negative", "nextafter", "norm",
    "not_equal", "one_hot", "ones", "ones_like", "optimize", "outer", "overlap_add", "pad",
    "parse_graph", "pipelined", "placeholder", "polygamma", "positive", "power", "print_",
    "print_graph", "prod", "promote", "ptp", "put_along_axis", "rad2deg", "random", "ravel",
    "reciprocal", "reduce", "register_engine", "register_pass", "relu", "remainder", "repeat", "reshape",
    "rewrite_pass", "right_shift", "rint", "roll", "rot90", "round", "rsqrt", "run_pipeline", "scan",
    "searchsorted", "selu", "set_at", "sigmoid", "sign", "signbit", "silu", "sin", "sinh",
    "softmax", "softplus", "softsign", "sort", "sparse_categorical_crossentropy", "specify_shape",
    "split", "sqrt", "square", "squeeze", "stack", "std", "stop_gradient", "subtract", "sum",
    "swapaxes", "take", "take_along_axis", "tan", "tanh", "tensordot", "tile", "to_dot",
    "to_model_explorer", "to_networkx", "to_onnx", "to_stablehlo", "to_svg", "top_k", "trace",
    "transpose", "tri", "tril", "triu", "trunc", "uint8", "uint16", "uint32", "uint64",
    "unregister_pass", "unstack", "until", "var", "variable", "vdot", "vjp", "where", "while_loop",
    "why_no_gradient", "windows", "xlogy", "zeros", "zeros_like",
]  # fmt: skip


_EXPORTS = {"to_dot": "graphviz", "to_svg": "graphviz", "to_networkx": "networkx",
            "to_model_explorer": "model_explorer", "to_onnx": "onnx",
            "to_stablehlo": "stablehlo"}  # fmt: skip
"""Functions that are imported at their first use -> module in `symtensor.export`."""


def _card(value: Tensor | Graph | Function) -> str:
    """Return how a notebook shows a value."""
    html: str = _import_module("symtensor.export.notebook").card(value)
    return html


_seal_ops()

_SHOWN: tuple[type[_Any], ...] = (Tensor, Graph, Function)
for _owner in _SHOWN:
    _owner._repr_html_ = _card

if not TYPE_CHECKING:  # type checkers shall report unknown names themselves

    def __getattr__(name: str) -> object:
        if name in _EXPORTS:
            return getattr(_import_module(f"symtensor.export.{_EXPORTS[name]}"), name)
        if _find_spec(f"symtensor.{name}") is not None:  # a subpackage, at its first use
            return _import_module(f"symtensor.{name}")
        inner = {"linalg": linalg.__all__, "random": random.__all__}
        raise UnknownNameError(f"symtensor has no {name!r}{_suggestion(name, __all__, inner)}")
