"""Every public function with wrong arguments: an error of ours that names the user's line."""

import inspect

import numpy as np
import pytest
import wrong_arguments
from wrong_arguments import LENGTH, X

import symtensor as st

V = st.placeholder((None,), name="v")
WHOLE, LABELS = st.placeholder((4, 4), "int64", name="i"), st.placeholder((4,), "int64")
IMAGE, KERNEL = st.placeholder((2, 8, 8, 4)), st.placeholder((3, 3, 4, 4))
W = st.variable(np.zeros((4, 4), "f"), name="w")
GRAPH = st.Graph((X.node,), ((X + 1).node,))

GOOD = {
    "x": [X, V, IMAGE, WHOLE, LABELS, st.windows(V, 2, 0)], "y": [X, V, WHOLE], "a": [X], "b": [X],
    "left": [X], "right": [X], "axis": [0], "axes": [0, (0, 1)], "axis1": [0], "axis2": [1],
    "source": [0], "destination": [1], "first": [0], "second": [1], "shape": [(4, 4), (5,)],
    "size": [3], "sizes": [2], "dim": [LENGTH], "output_shape": [(10, 10)], "n": [2], "k": [1],
    "repeats": [2], "reps": [2], "sections": [2], "shift": [1], "widths": [1], "stages": [2],
    "start": [0], "stop": [5], "indices": [WHOLE], "index": [0], "values": [1.0, X],
    "value": [np.ones((4, 4), "f"), X], "dtype": ["float32"], "low": [0], "high": [5], "factor": [2.0],
    "mean": [0.0], "variance": [1.0], "rate": [0.5], "target": [X, LABELS], "output": [X],
    "kernel": [KERNEL], "spec": ["ab,bc->ac"], "subscripts": ["ii->i"], "condition": [X > 0, lambda s: s < 3],
    "predicate": [st.sum(X) > 0], "then": [lambda: X], "otherwise": [lambda: X],
    "fn": [lambda *given: given[-1]], "gradient": [lambda g, y, x: (g,)], "evaluate": [lambda x: x],
    "body": [lambda s: s + 1], "stage": [st.tanh], "sequences": [[X]], "initial": [LABELS, 1.0],
    "microbatches": [X], "tensors": [[X, X]], "sorted_": [V], "loss": [st.sum(X * W)], "tensor": [X],
    "wrt": [[X]], "outputs": [[X]], "tangents": [[X]], "cotangents": [[X]], "vector": [X],
    "inputs": [[X]], "graph": [GRAPH], "rules": [[]], "name": ["name"], "choice": ["numpy"],
    "text": [st.print_graph(GRAPH)], "seed": [1],
}  # fmt: skip
"""What is right for a required parameter of this name."""

CALLS = {
    "as_dtype": ["float32"],
    "promote": ["float32", "int8"],
    "einsum": ["ii->i", X],
    "function": [[X], [X]],
    "gather": [X, LABELS],
    "scan": [lambda row: row, [X]],
    "x.eval": [{X: np.ones((4, 4), "f")}],
    "x.dot": [X],
    "w.dot": [X],
    "x.reshape": [(16,)],
    "w.reshape": [(16,)],
}
"""Arguments of functions whose signatures do not tell what they need."""

LEFT_OUT = {
    "config", "register_engine", "register_pass", "unregister_pass",  # change the process
    "debugprint", "to_onnx",  # print; need a package that may not be there
}  # fmt: skip


def _functions():
    spaces = {"": st, "linalg.": st.linalg, "stream.": st.RandomStream(0), "x.": X, "w.": W}
    for prefix, space in spaces.items():
        names = getattr(space, "__all__", None) or [n for n in dir(space) if not n.startswith("_")]
        for name in names:
            found = getattr(space, name)
            plain = inspect.isfunction(found) or inspect.ismethod(found)
            if name not in LEFT_OUT and (plain or type(found).__name__ == "ElementwiseFunction"):
                yield prefix + name, found


FUNCTIONS = dict(_functions())


def test_the_functions_are_found():
    assert {"sum", "exp", "gradients", "linalg.solve", "stream.uniform", "x.max"} <= set(FUNCTIONS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_arguments_are_told(name):
    function = FUNCTIONS[name]
    required, optional = [], {}
    for p in inspect.signature(function).parameters.values():
        if p.default is not p.empty:
            optional[p.name] = p.default
        elif p.kind is not p.VAR_POSITIONAL and p.kind is not p.VAR_KEYWORD:
            required.append(p.name)
    args = CALLS.get(name)
    if args is None:
        args = wrong_arguments.good_call(function, [GOOD[p] for p in required])
    for key in [*optional][: len(args) - len(required)]:
        del optional[key]  # given by position
    wrong_arguments.check(function, args, optional)


def test_what_is_no_answer_is_noticed():
    with pytest.raises(AssertionError, match="shape is nan: TypeError"):
        wrong_arguments.check(X.type.with_shape, [], {"shape": (2,)})
    with pytest.raises(
        AssertionError, match="axis is a word: AssertionError"
    ):  # shows a line in here
        wrong_arguments.check(lambda axis: st.sum(X, axis), [], {"axis": 0})
