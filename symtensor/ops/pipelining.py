"""Pipelines: layers of one form as a stack of stages that work at the same time on micro-batches.

The parameters of all stages are one tensor whose leading axis counts the stages, and so is what the
stages work on. Each tick moves every result on to the next stage, lets the next micro-batch into
the first one and runs all stages at once. So where an engine cuts that axis over devices (the
parameters' axis is enough), each device holds and computes its own stages, and what moves is one
micro-batch from each to the next. Values and gradients are those of the layers one after the other.
"""

from __future__ import annotations

from collections.abc import Callable

from symtensor.errors import ShapeError
from symtensor.ir.tensor import Tensor
from symtensor.ops import creation, joining, logic, movement
from symtensor.ops.attributes import as_int
from symtensor.ops.bodies import check_callable
from symtensor.ops.build import TensorLike, as_tensor
from symtensor.ops.scan import scan


def pipelined(stage: Callable[[Tensor], Tensor], microbatches: TensorLike, stages: int) -> Tensor:
    """Return what `stages` layers make of micro-batches, for each of them: shapes stay the same.

    `stage` gets a tensor of shape ``(stages, *microbatch)`` and returns one of that type: layer i of
    its row i. With weights of shape (stages, n, n) that is ``lambda h: tanh(h @ weights)``. A layer
    must not look at other rows. While the pipeline fills and empties, layers run on micro-batches
    that are not theirs; those results go nowhere.
    """
    check_callable(stage, "pipelined: the stage")
    x = as_tensor(microbatches)
    stages = as_int(stages, "pipelined: stages", 1)
    if x.ndim == 0:
        raise ShapeError(f"pipelined: expected an axis of micro-batches, found {x.type}")
    one = x.shape[1:]
    last = movement.broadcast_to(x[-1], (stages - 1, *one))
    is_first = movement.reshape(creation.arange(stages), (stages, *(1 for _ in one))) < 1

    def tick(entering: Tensor, results: Tensor) -> Tensor:
        return stage(logic.where(is_first, entering, joining.roll(results, 1, 0)))

    start = movement.broadcast_to(x[0], (stages, *one))
    results: Tensor = scan(tick, joining.concatenate([x, last], 0), [start])[0]
    return results[stages - 1 :, -1]
