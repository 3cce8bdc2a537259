"""Every function of the Keras backend API: there, called as specified, and right on both engines."""

import inspect

import pytest
from catalogue import FACTS, SAMPLES, check
from catalogue.signatures import LATER, SIGNATURES

from symtensor import backend as K
from symtensor import config


@pytest.fixture(params=["numpy", "llvm"])
def engine(request):
    with config(engine=request.param):
        yield request.param


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_values_types_and_gradients(sample, kind, engine):
    check(sample, kind)


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_halves_stay_halves(sample):
    """Types only: values of float16 are those of the other floats, rounded."""
    halves = [x.astype("f2") if x.dtype.kind == "f" else x for x in sample.arrays]
    built = sample.build(*(K.placeholder(x.shape, dtype=str(x.dtype)) for x in halves))
    ys = built if isinstance(built, (list, tuple)) else [built]
    wanted = ["float16" if kind == "float" else kind for kind in sample.kinds]
    if sample.name == "ctc_decode":
        wanted[-1] = "float32"  # scores are sums over all time steps
    assert [K.dtype(y) for y in ys] == wanted


@pytest.mark.parametrize("fact", FACTS, ids=str)
def test_facts(fact, engine, clean):
    fact.holds()


def test_the_names_are_those_of_the_specification():
    assert len(SIGNATURES) == 177
    assert sorted(K.__all__) == sorted(SIGNATURES)
    assert all(callable(getattr(K, name)) for name in SIGNATURES)


def test_every_name_has_samples():
    shown = {sample.name for sample in SAMPLES} | {name for fact in FACTS for name in fact.names}
    assert shown == set(SIGNATURES)


@pytest.mark.parametrize("line", [*SIGNATURES.values(), *LATER.split("\n")[1:-1]])
def test_signatures(line):
    name = line.split("(")[0]
    wanted = inspect.signature(eval(f"lambda {line[len(name) + 1 : -1]}: 0")).parameters
    found = inspect.signature(getattr(K, name)).parameters
    assert list(found)[: len(wanted)] == list(wanted) or "kwargs" in wanted
    for key, parameter in wanted.items():
        assert (found[key].default, found[key].kind) == (parameter.default, parameter.kind)
    more = [p for key, p in found.items() if key not in wanted]
    assert all(p.default is not p.empty or p.kind == p.VAR_KEYWORD for p in more)
