"""Mistakes in expressions and their gradients: codes ST00 to ST06."""

from __future__ import annotations

from symtensor.error_codes.explanation import Explanation

X = 'x = st.placeholder((None, 3), name="x")'

# fmt: off
EXPRESSIONS = (
    # --- general
    Explanation(
        "ST0001", "Not the kind of thing that this function takes",
        "The value is not a tensor, graph or function where one is needed.",
        "st.print_graph(5)", "st.print_graph(st.constant(5.0))",
    ),
    # --- shapes
    Explanation(
        "ST0100", "Shapes that do not fit",
        "The shapes of the operands, or a shape and what is done with it, contradict each other.",
        "st.squeeze(st.zeros((2, 3)), 0)", "st.squeeze(st.zeros((1, 3)), 0)",
    ),
    Explanation(
        "ST0101", "Shapes that do not broadcast",
        """Aligned at the right, two sizes must be equal or one of them the int 1. A size that is only
        known at the call does not broadcast, even if it is 1 then.""",
        "st.zeros((3, 4)) + st.zeros((3,))",
        "st.zeros((3, 4)) + st.zeros((3, 1))",
    ),
    Explanation(
        "ST0102", "Sizes that a product sums over differ",
        "A product sums over axes of both operands: they must have the same size.",
        "st.zeros((5, 784)) @ st.zeros((785, 10))",
        "st.zeros((5, 784)) @ st.zeros((784, 10))",
    ),
    Explanation(
        "ST0103", "A reshape that changes the number of elements",
        "The sizes of the new shape must multiply to the number of elements; one of them may be -1.",
        "st.reshape(st.zeros((2, 6)), (5, 3))",
        "st.reshape(st.zeros((2, 6)), (4, -1))",
    ),
    Explanation(
        "ST0104", "A size that is not the declared one",
        """A value has another size than its type says, or two inputs that share a size have different
        ones. Sizes with the same name, and sizes that an op made equal, must agree in each call.""",
        'x, y = st.placeholder(("n",)), st.placeholder(("n",))\nf = st.function([x, y], x + y)\n'
        'f(np.ones(3, "f"), np.ones(4, "f"))',
        'x, y = st.placeholder(("n",)), st.placeholder(("n",))\nf = st.function([x, y], x + y)\n'
        'f(np.ones(4, "f"), np.ones(4, "f"))',
    ),
    Explanation(
        "ST0105", "Tensors that can't be joined or cut",
        "Joined tensors agree in all axes but the one along which they are joined; a split is even.",
        "st.concatenate([st.zeros((2, 3)), st.zeros((2, 4))], axis=0)",
        "st.concatenate([st.zeros((2, 3)), st.zeros((2, 4))], axis=1)",
    ),
    Explanation(
        "ST0106", "A wrong number of axes",
        "The rank of a tensor is part of its type and is never changed silently.",
        f'{X}\nst.function([x], x + 1)(np.ones(3, "f"))',
        f'{X}\nst.function([x], x + 1)(np.ones((1, 3), "f"))',
    ),
    Explanation(
        "ST0107", "A kernel that does not fit its input",
        """A convolution's kernel has the axes (spatial…, channels in, channels out), known positive
        sizes, and as many channels as its input.""",
        "st.conv(st.zeros((1, 8, 8, 3)), st.zeros((3, 3, 4, 16)))",
        "st.conv(st.zeros((1, 8, 8, 3)), st.zeros((3, 3, 3, 16)))",
    ),
    Explanation(
        "ST0108", "A loop or a branch that changes shapes",
        """A loop's step returns its state with the shapes it got, and both branches of a condition
        return the same nesting with the same shapes.""",
        "st.cond(st.constant(True), lambda: st.zeros((2,)), lambda: st.zeros((3,)))",
        "st.cond(st.constant(True), lambda: st.zeros((3,)), lambda: st.ones((3,)))",
    ),
    Explanation(
        "ST0109", "The extremum of nothing",
        "max, min, argmax and argmin have no value for an empty axis.",
        "st.max(st.zeros((0,)))", "st.max(st.zeros((0,)), initial=0.0)",
    ),
    Explanation(
        "ST0110", "A negative size", "Sizes are 0 or more.",
        "st.zeros((2, -3))", "st.zeros((2, 3))",
    ),
    Explanation(
        "ST0111", "A size that nothing determines",
        "A symbolic size gets its value from the shapes of the inputs, and no input has this one.",
        'from symtensor.ir import dims\n\ndims.evaluate(st.dim("unfed") * 2, {})', "st.zeros((4,)).eval()",
    ),
    Explanation(
        "ST0112", "A matrix that is not square, or no right-hand sides for it",
        "Most of linear algebra is for square matrices; a system has as many rows as its right side.",
        "st.linalg.inv(st.zeros((2, 3)))", "st.linalg.inv(st.zeros((3, 3)))",
    ),
    # --- dtypes
    Explanation(
        "ST0200", "A dtype that does not fit",
        "The dtype is not what the op, or the other operand, needs.",
        'st.custom_op("half_of", evaluate=lambda x: x / 2, infer=lambda x: "f32")(st.zeros((2,)))',
        'st.custom_op("half_of_it", evaluate=lambda x: x / 2, infer=lambda x: x)(st.zeros((2,)))',
    ),
    Explanation(
        "ST0201", "Not a dtype",
        "Tensors hold bools, integers and real floats; not objects or complex numbers.",
        'st.placeholder((3,), "complex64")', 'st.placeholder((3,), "float32")',
    ),
    Explanation(
        "ST0202", "An op that is not defined for this dtype",
        "There is no such operation on values of this dtype: cast them, or use the op that means it.",
        'st.negative(st.placeholder((3,), "bool"))', 'st.logical_not(st.placeholder((3,), "bool"))',
    ),
    Explanation(
        "ST0203", "A value that would be narrowed",
        """Nothing is narrowed silently: an argument passes when NumPy's promotion of both dtypes is the
        declared one. Convert it, or compile with allow_downcast=True.""",
        'x = st.placeholder((2,), "float32")\nst.function([x], x + 1)(np.ones(2, "float64"))',
        'x = st.placeholder((2,), "float32")\nst.function([x], x + 1)(np.ones(2, "float32"))',
    ),
    Explanation(
        "ST0204", "A value that is no array of numbers",
        "Lists of tensors, strings, objects, masked arrays and the like are not tensors.",
        f"{X}\nst.exp([x, x])", f"{X}\nst.exp(st.stack([x, x]))",
    ),
    Explanation(
        "ST0205", "Indices that are no integers", "Positions are integers; cast floats first.",
        "st.take(st.zeros((3,)), st.constant([0.0, 1.0]))",
        "st.take(st.zeros((3,)), st.constant([0, 1]))",
    ),
    Explanation(
        "ST0206", "A NumPy function without a symbolic form",
        """NumPy functions build nodes where symtensor has a function of that meaning. Those that write
        into their arguments can't, since tensors are immutable.""",
        f"{X}\nnp.unwrap(x)", f"{X}\nnp.diff(x)",
    ),
    Explanation(
        "ST0207", "A loop or a branch that changes the dtype",
        "A loop's step returns its state with the dtype it got: cast the initial state or the result.",
        "st.while_loop(lambda s: s < 9, lambda s: s * 0.5 + 1, st.constant(1))",
        "st.while_loop(lambda s: s < 9, lambda s: s * 2, st.constant(1))",
    ),
    Explanation(
        "ST0208", "A number that the dtype can't hold",
        "A Python integer takes the dtype of the tensor it meets, and this one is out of its range.",
        'st.placeholder((2,), "int8") + 300', 'st.placeholder((2,), "int16") + 300',
    ),
    # --- attributes
    Explanation(
        "ST0300", "An argument outside its allowed values",
        "The message says which values are allowed.",
        "st.arange(0, 5, 0)", "st.arange(0, 5, 1)",
    ),
    Explanation(
        "ST0301", "An axis that is not there",
        "Axes count from 0, or from -1 backwards, and each may be named once.",
        "st.sum(st.zeros((2, 3)), axis=2)", "st.sum(st.zeros((2, 3)), axis=-1)",
    ),
    Explanation(
        "ST0302", "An option of unknown name", "The message lists the options.",
        'st.pad(st.zeros((2,)), 1, mode="mirror")', 'st.pad(st.zeros((2,)), 1, mode="reflect")',
    ),
    Explanation(
        "ST0303", "Subscripts or axes of a product that mean nothing",
        "Each operand has its term, each term a label per axis, and the result only known labels.",
        'st.einsum("ij,jk->il", st.zeros((2, 3)), st.zeros((3, 4)))',
        'st.einsum("ij,jk->ik", st.zeros((2, 3)), st.zeros((3, 4)))',
    ),
    Explanation(
        "ST0304", "Arguments that the function does not take",
        "The function takes another number of operands, or other keywords.",
        "st.exp(st.ones((2,)), st.ones((2,)))", "st.exp(st.ones((2,)))",
    ),
    Explanation(
        "ST0305", "A symbolic size where a number is needed",
        "This argument decides how many nodes are built, so it must be known when building.",
        "st.unstack(st.placeholder((None, 2)))", "st.unstack(st.placeholder((4, 2)))",
    ),
    Explanation(
        "ST0306", "Not a size", "A size is an int, None, a name, or a dim; names are identifiers.",
        "st.placeholder((2.5,))", "st.placeholder((2,))",
    ),
    Explanation(
        "ST0307", "An unknown name",
        "symtensor, or a tensor, has no such name; the message says what it is called here.",
        "st.reduce_sum(st.ones((2,)))", "st.sum(st.ones((2,)))",
    ),
    Explanation(
        "ST0308", "A file that can't be written",
        "The message says why; a folder on the way that is not there is not made.",
    ),
    # --- indices
    Explanation(
        "ST0400", "An index that does not fit", "The message says what the axis admits.",
        "st.zeros((3, 4))[[0, 1], [0, 1, 2]]", "st.zeros((3, 4))[[0, 1], [0, 2]]",
    ),
    Explanation(
        "ST0401", "An index out of range",
        "Indices run from -size to size - 1; what is data is checked in every call, on every engine.",
        "st.zeros((3,))[3]", "st.zeros((3,))[-1]",
    ),
    Explanation(
        "ST0402", "Too many indices", "There is at most one index per axis, and one Ellipsis.",
        "st.zeros((3,))[0, 0]", "st.zeros((3,))[0]",
    ),
    Explanation(
        "ST0403", "Not an index",
        "Indices are integers, slices of integers or dims, None, Ellipsis, and integer or bool arrays.",
        "st.zeros((3,))[1.5]", "st.zeros((3,))[1]",
    ),
    Explanation(
        "ST0404", "A mask whose number of True is unknown",
        """Indexing with a symbolic mask would give a size that depends on data. Select with where, or
        index with a NumPy array.""",
        f"{X}\nx[x > 0]", f"{X}\nst.where(x > 0, x, 0)",
    ),
    Explanation(
        "ST0405", "A mask of another size", "A bool index has the sizes of the axes it selects from.",
        "st.zeros((3,))[np.array([True, False])]", "st.zeros((3,))[np.array([True, False, True])]",
    ),
    # --- values
    Explanation(
        "ST0500", "A symbolic tensor has no value yet",
        """Tensors stand for values that exist only when a compiled function is called, so Python's if,
        float() and len() can't use them. Use where, cond or while_loop, or compile first.""",
        f"{X}\nif st.sum(x) > 0:\n    x = -x", f"{X}\nx = st.where(st.sum(x) > 0, -x, x)",
    ),
    Explanation(
        "ST0503", "Tensors are immutable", "set_at and add_at return the changed tensor.",
        f"{X}\nx[0] = 1", f"{X}\nx = st.set_at(x, 0, 1.0)",
    ),
    Explanation(
        "ST0504", "The length of a scalar", "A 0-d tensor has no axis to count or iterate over.",
        "len(st.constant(1.0))", "len(st.constant([1.0]))",
    ),
    Explanation(
        "ST0505", "A symbolic size has no value yet",
        "Sizes given as None or by name are known when the function is called: compute with them.",
        f"{X}\nrange(x.shape[0])", f"{X}\nst.arange(x.shape[0])",
    ),
    # --- gradients
    Explanation(
        "ST0600", "A gradient that has no meaning", "The message says what was asked for.",
        "st.gradients(st.constant(1.0), [3])",
        f"{X}\nst.gradients(st.sum(x), [x])",
    ),
    Explanation(
        "ST0601", "A loss that is no float scalar",
        "A gradient is that of one number: reduce the loss, or give cotangents with known=.",
        f"{X}\nst.gradients(x * x, x)", f"{X}\nst.gradients(st.sum(x * x), x)",
    ),
    Explanation(
        "ST0602", "No path from the loss to the tensor",
        """The loss does not depend on it, or only through ops that carry no gradient (integers,
        comparisons, stop_gradient). symtensor.why_no_gradient(loss, x) shows where the path ends.""",
        f'{X}\nst.gradients(st.sum(st.stop_gradient(x)), x, disconnected="raise")',
        f'{X}\nst.gradients(st.sum(x), x, disconnected="raise")',
    ),
    Explanation(
        "ST0603", "An op without a gradient rule",
        "Give the op a vjp, or wrap its operand in stop_gradient where it is meant to be constant.",
        'op = st.custom_op("opaque_step", evaluate=lambda x: np.floor(x))\n'
        f"{X}\nst.gradients(st.sum(op(x)), x)",
        'op = st.custom_op("smooth_step", evaluate=lambda x: x * 1.0, vjp=lambda g, y, x: (g,))\n'
        f"{X}\nst.gradients(st.sum(op(x)), x)",
    ),
    Explanation(
        "ST0604", "Cotangents, tangents or vectors that do not fit",
        "There is one per tensor, of the tensor's shape.",
        f"{X}\nst.vjp(x * 2, x, st.ones((2,)))", f"{X}\nst.vjp(x * 2, x, st.ones_like(x))",
    ),
    Explanation(
        "ST0605", "The gradient of a loop without a bound",
        "Going back through a loop needs what each step saw: tell how many there are at most.",
        "x = st.placeholder(())\ny = st.while_loop(lambda s: s < 9, lambda s: s * 2, x)\nst.gradients(y, x)",
        "x = st.placeholder(())\ny = st.while_loop(lambda s: s < 9, lambda s: s * 2, x, max_steps=9)\n"
        "st.gradients(y, x)",
    ),
    Explanation(
        "ST0606", "A gradient rule that returns something else",
        "A vjp returns one cotangent, or None, per input, each of the input's shape.",
        'op = st.custom_op("triple", evaluate=lambda x: 3 * x, vjp=lambda g, y, x: (g, g))\n'
        f"{X}\nst.gradients(st.sum(op(x)), x)",
        'op = st.custom_op("threefold", evaluate=lambda x: 3 * x, vjp=lambda g, y, x: (3 * g,))\n'
        f"{X}\nst.gradients(st.sum(op(x)), x)",
    ),
)
# fmt: on
