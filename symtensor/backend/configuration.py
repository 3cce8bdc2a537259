"""Settings of the Keras backend, counters for names, and scopes of names.

While Keras itself runs on this backend its own settings rule (`keras.backend.common`): they are read
at each call, because Keras tells nobody when they change.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from symtensor.ir import location
from symtensor.ir.dtypes import as_dtype
from symtensor.ir.literal import as_array
from symtensor.ops.attributes import as_number
from symtensor.vocabulary import require_choice, require_name

_settings: dict[str, Any] = {
    "epsilon": 1e-7, "floatx": "float32", "image_data_format": "channels_last",
}  # fmt: skip
_uids: defaultdict[str, int] = defaultdict(int)
_variable_names: defaultdict[str, int] = defaultdict(int)
_scopes: list[str] = []


def _keras() -> Any:
    """Return the module of Keras's own settings where Keras runs on this package, else None."""
    loader = sys.modules.get("keras.backend.load_backend")
    ours = getattr(loader, "_BACKEND", None) == __package__
    return sys.modules["keras.backend.common"] if ours else None


def _get(setting: str) -> Any:
    keras = _keras()
    return _settings[setting] if keras is None else getattr(keras, setting)()


def _set(setting: str, value: Any) -> None:
    keras = _keras()
    if keras is not None:
        getattr(keras, f"set_{setting}")(value)
    _settings[setting] = value


def backend() -> str:
    """Return the name of the backend: the module to put into KERAS_BACKEND."""
    return "symtensor.backend"


def epsilon() -> float:
    """Return the small number that keeps divisions and logarithms finite."""
    return float(_get("epsilon"))


def set_epsilon(e: float) -> None:
    """Set the value of `epsilon`."""
    _set("epsilon", as_number(e, "epsilon"))


def floatx() -> str:
    """Return the default float dtype: float16, float32 or float64."""
    return str(_get("floatx"))


def set_floatx(floatx: str) -> None:
    """Set the default float dtype. Raises ValueError for any other."""
    require_choice(floatx, ("float16", "float32", "float64"), "floatx")
    _set("floatx", floatx)


def cast_to_floatx(x: Any) -> np.ndarray[Any, Any]:
    """Return NumPy values in the default float dtype."""
    return as_array(x, as_dtype(floatx()))


def image_data_format() -> str:
    """Return channels_last or channels_first."""
    return str(_get("image_data_format"))


def set_image_data_format(data_format: str) -> None:
    """Set the default layout of images. Raises ValueError for any other."""
    _set("image_data_format", normalize_data_format(data_format))


def normalize_data_format(value: str | None) -> str:
    """Return a layout in lower case, the default one for None. Raises ValueError for any other."""
    layout = image_data_format() if value is None else value
    lower = layout.lower() if isinstance(layout, str) else layout
    require_choice(lower, ("channels_first", "channels_last"), "data_format")
    return str(lower)


def image_dim_ordering() -> str:
    """Return the layout as Keras 1 called it: "tf" for channels_last, "th" for channels_first."""
    return "tf" if image_data_format() == "channels_last" else "th"


def set_image_dim_ordering(dim_ordering: str) -> None:
    """Set the layout by its Keras 1 name."""
    require_choice(dim_ordering, ("tf", "th"), "dim_ordering")
    set_image_data_format("channels_last" if dim_ordering == "tf" else "channels_first")


def get_uid(prefix: str = "") -> int:
    """Return how often this prefix has been asked for: 1, 2, …"""
    _uids[prefix] += 1
    return _uids[prefix]


def reset_uids() -> None:
    """Start all counters of `get_uid` anew."""
    _uids.clear()


@contextmanager
def name_scope(name: str | None) -> Iterator[str]:
    """Put ``name/`` before the names of variables made inside; yield the whole scope."""
    require_name(name, "a scope")
    _scopes.append(name or "")
    try:
        with location.name_scope(name or ""):
            yield "/".join(filter(None, _scopes))
    finally:
        _scopes.pop()


def variable_name(name: str | None) -> str:
    """Return a name with its scope, made unique by _1, _2, …"""
    require_name(name, "a variable")
    whole = "/".join(filter(None, [*_scopes, name or "variable"]))
    count = _variable_names[whole]
    _variable_names[whole] += 1
    return f"{whole}_{count}" if count else whole


def forget_variable_names() -> None:
    """Let names of variables be given again."""
    _variable_names.clear()


def symbolic(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function: everything here is symbolic."""
    return func


def eager(func: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function: there is no eager mode to call it in."""
    return func
