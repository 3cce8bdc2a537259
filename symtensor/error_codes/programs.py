"""Mistakes in functions, their calls and what runs them: codes ST07 to ST16."""

from __future__ import annotations

from symtensor.error_codes.explanation import Explanation

X = 'x = st.placeholder((None, 3), name="x")'
V = 'v = st.variable(np.zeros(3, "f"), name="v")'

# fmt: off
PROGRAMS = (
    # --- functions
    Explanation(
        "ST0700", "A function that can't be made", "The message says what was asked for.",
        f"{X}\nst.function([x], x + 1).copy(swap={{x: x}})",
        f"{X}\nst.function([x], x + 1).copy()",
    ),
    Explanation(
        "ST0701", "An input that nothing needs",
        "It is often a sign of a mistake, so it is an error unless on_unused_input says otherwise.",
        f"{X}\ny = st.placeholder(())\nst.function([x, y], x + 1)",
        f'{X}\ny = st.placeholder(())\nst.function([x, y], x + 1, on_unused_input="ignore")',
    ),
    Explanation(
        "ST0702", "A placeholder that is not among the inputs",
        "Outputs and updates can only be computed from what is fed.",
        f"{X}\ny = st.placeholder(())\nst.function([x], x + y)",
        f"{X}\ny = st.placeholder(())\nst.function([x, y], x + y)",
    ),
    Explanation(
        "ST0703", "A size that no input determines",
        "A symbolic size is read off the inputs, and no input has this one as the size of an axis.",
        'st.function([], st.zeros((st.dim("rows"), 2)))',
        'x = st.placeholder(("rows",))\nst.function([x], st.zeros((st.dim("rows"), 2)))',
    ),
    Explanation(
        "ST0704", "Inputs that can't be inputs",
        """Inputs are a list of placeholders (or of intermediate tensors, which are then fed), each once.
        Variables and constants have values: to replace them, use givens.""",
        f"{X}\nst.function(x, x + 1)", f"{X}\nst.function([x], x + 1)",
    ),
    Explanation(
        "ST0705", "Outputs that are no tensors", "Outputs are tensors, or lists, tuples and dicts of them.",
        f'{X}\nst.function([x], ["x"])', f"{X}\nst.function([x], [x + 1])",
    ),
    Explanation(
        "ST0706", "Givens that can't be put in",
        "Pairs (tensor, replacement) of the same dtype and rank, each tensor once, and no input.",
        f"{X}\nst.function([x], x + 1, givens=[(x, x * 2)])",
        f"{X}\ny = st.placeholder((None, 3))\nst.function([y], x + 1, givens=[(x, y * 2)])",
    ),
    Explanation(
        "ST0707", "A call with a wrong number of arguments", "One value per input without a default.",
        f"{X}\nst.function([x], x + 1)()", f'{X}\nst.function([x], x + 1)(np.ones((1, 3), "f"))',
    ),
    Explanation(
        "ST0708", "A call with an unknown keyword",
        "Keywords are the names of inputs; a name that two inputs have can't be used.",
        f'{X}\nst.function([x], x + 1)(y=np.ones((1, 3), "f"))',
        f'{X}\nst.function([x], x + 1)(x=np.ones((1, 3), "f"))',
    ),
    Explanation(
        "ST0709", "A call with something that is no value",
        "Compiled functions take arrays, numbers and lists; not None, and not symbolic tensors.",
        f"{X}\nst.function([x], x + 1)(x)",
        f"{X}\nst.function([x], x + 1)([[1.0, 2.0, 3.0]])",
    ),
    Explanation(
        "ST0710", "Outputs that the function does not have",
        "output_subset takes positions of a list of outputs, or keys of a dict.",
        f'{X}\nst.function([x], [x + 1])(np.ones((1, 3), "f"), output_subset=[1])',
        f'{X}\nst.function([x], [x + 1])(np.ones((1, 3), "f"), output_subset=[0])',
    ),
    # --- updates
    Explanation(
        "ST0800", "Updates that are no pairs", "Updates are a dict, or pairs (variable, next value).",
        f"{V}\nst.function([], v, updates=[v + 1])", f"{V}\nst.function([], v, updates=[(v, v + 1)])",
    ),
    Explanation(
        "ST0801", "An update of something that is no variable", "Only variables hold state.",
        f"{V}\nst.function([], v, updates=[(v + 1, v)])", f"{V}\nst.function([], v, updates=[(v, v + 1)])",
    ),
    Explanation(
        "ST0802", "Two updates of one variable",
        "All updates happen at once, so a variable can have only one next value.",
        f"{V}\nst.function([], v, updates=[(v, v + 1), (v, v * 2)])",
        f"{V}\nst.function([], v, updates=[(v, (v + 1) * 2)])",
    ),
    Explanation(
        "ST0803", "A next value of another type",
        "The next value has the dtype, rank and sizes of the variable.",
        f"{V}\nst.function([], v, updates=[(v, st.zeros((3, 1)))])",
        f"{V}\nst.function([], v, updates=[(v, st.zeros((3,)))])",
    ),
    # --- data
    Explanation(
        "ST0901", "A matrix without a result",
        "The matrix is singular, or not positive definite, or the iteration did not converge.",
        "st.linalg.cholesky(-st.eye(2)).eval()", "st.linalg.cholesky(st.eye(2)).eval()",
    ),
    Explanation(
        "ST0902", "An assertion that failed", "assert_ found its condition false in this call.",
        'x = st.placeholder(())\nst.assert_(x, x > 0, "x must be positive").eval({x: -1.0})',
        'x = st.placeholder(())\nst.assert_(x, x > 0, "x must be positive").eval({x: 1.0})',
    ),
    Explanation(
        "ST0903", "A rule of an op of yours that raised",
        """The evaluate rule given to custom_op raised a ValueError for the arrays that it got; the message
        quotes it, and it is attached as the cause. Other exceptions of a rule stay what they are, with a
        note that names the op and the line that built it.""",
        """def log_of_positive(x):
    if (x <= 0).any():
        raise ValueError("expected positive numbers")
    return np.log(x)


op = st.custom_op("log_of_positive", evaluate=log_of_positive)
st.function([], op(st.zeros((2,))))()""",
        """def log_where_positive(x):
    return np.log(np.where(x > 0, x, 1))


op = st.custom_op("log_where_positive", evaluate=log_where_positive)
st.function([], op(st.zeros((2,))))()""",
    ),
    # --- ir
    Explanation(
        "ST1000", "Text that is not IR", "The message names line and column and what was expected there.",
        'st.parse_graph("graph { inputs outputs")', 'st.parse_graph("graph { inputs outputs }")',
    ),
    Explanation(
        "ST1001", "An unknown op or dtype in IR text",
        "The ops are those of symtensor and those that imported modules defined.",
        'st.parse_graph("graph { %0 = plus : f32[] inputs outputs %0 }")',
        'st.parse_graph("graph { %0 = placeholder : f32[] inputs %0 outputs %0 }")',
    ),
    Explanation(
        "ST1002", "A statement of IR text that its op refuses",
        "The operands, attributes or the type do not fit the op.",
        'st.parse_graph("graph { %0 = placeholder : f32[] %1 = negative %0 : f64[] inputs %0 outputs %1 }")',
        'st.parse_graph("graph { %0 = placeholder : f32[] %1 = negative %0 : f32[] inputs %0 outputs %1 }")',
    ),
    Explanation(
        "ST1100", "A graph that breaks an invariant",
        """The graph that a pass returned is malformed; the message names the pass and the note shows the
        graph. This is a fault of the pass.""",
    ),
    # --- engines
    Explanation(
        "ST1200", "Something that an engine can't translate",
        "A target that does not exist, or code that LLVM rejects: the latter is a fault of symtensor.",
        'from symtensor.codegen.target import named\n\nnamed("vax")',
        'from symtensor.codegen.target import named\n\nnamed("neon")',
    ),
    Explanation(
        "ST1300", "An engine that can't do this", "The engine has no such ability.",
        f'{X}\nst.function([x], x + 1, engine="numpy").memory((2, 3))',
        f'{X}\nst.function([x], x + 1, engine="llvm").memory((2, 3))',
    ),
    Explanation(
        "ST1301", "An unknown engine", "The message lists the engines that are installed.",
        f'{X}\nst.function([x], x + 1, engine="lvm")', f'{X}\nst.function([x], x + 1, engine="llvm")',
    ),
    Explanation(
        "ST1302",
        "An engine that does not load",
        "Its package can't be imported here; the cause is attached.",
    ),
    # --- configuration
    Explanation(
        "ST1400", "A setting with a value that it can't have",
        "The message names where the value comes from.",
        "with st.config(num_threads=-1):\n    pass", "with st.config(num_threads=1):\n    pass",
    ),
    Explanation(
        "ST1401", "An unknown setting", "python -m symtensor info lists the settings.",
        "with st.config(threads=1):\n    pass", "with st.config(num_threads=1):\n    pass",
    ),
    Explanation(
        "ST1403", "An unknown pass, or an order of passes that can't be",
        "The passes are those of python -m symtensor info, and some must run before others.",
        f'{X}\nst.function([x], x + 1, passes="-algebr")', f'{X}\nst.function([x], x + 1, passes="-algebra")',
    ),
    # --- self-check
    Explanation(
        "ST1500", "A self-check failed",
        "A function compiled with check=True found that a call did not do what it should.",
    ),
    Explanation(
        "ST1501", "A pass changed what the function computes",
        """On these arguments the reference gives another result for the graph after the pass than for the
        graph before, by more than rounding explains. This is a fault of the pass: switch it off
        (passes="-name") and report it.""",
    ),
    Explanation(
        "ST1502", "A NaN or an infinity",
        """A result holds one although no argument does. The message shows the op that made the first and
        its operands there. For functions whose results may be infinite, check=["passes", "nan"] says what
        to look for.""",
        "x = st.placeholder((None,))\nst.function([x], st.log(x), check=True)(np.array([-1.0], np.float32))",
        "x = st.placeholder((None,))\nst.function([x], st.log(x), check=True)(np.array([1.0], np.float32))",
    ),
    Explanation(
        "ST1503", "A call that touched memory which is not its own",
        """A call changed an argument, a variable that it does not update or a result that was handed out
        before; or what it returned shares memory with one. A rule that writes into its operands is named.""",
    ),
    Explanation(
        "ST1504", "An engine that differs from the reference",
        "The engine and the reference disagree on the graph that the engine compiled: a fault of the engine.",
    ),
    # --- checkpoints
    Explanation(
        "ST1600", "A checkpoint that can't be written or restored",
        """The file is missing, cut off or damaged, a part of it is missing, or it holds other variables than
        those to restore. Variables need names of their own, or a mapping that names them.""",
    ),
)
# fmt: on
