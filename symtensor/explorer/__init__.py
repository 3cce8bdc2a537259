"""The explorer: one offline HTML page that shows all a compiler did to a function.

`write_page` makes it: the graph after each pass, with the differences; kernels, loops, LLVM text and
assembly, linked with the user's lines; remarks, memory, costs, and times where a profile is given.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from symtensor.errors import SymtensorError
from symtensor.explorer.data import function_data
from symtensor.explorer.page import build_page
from symtensor.inspect.files import write_text
from symtensor.inspect.profile import Profile


def explorer_page(function: Any, *inputs: Any, profile: Any = None) -> str:
    """Return the HTML of the page; `inputs` are arrays, or shapes, whose sizes it begins with."""
    if profile is not None and not isinstance(profile, Profile):
        raise SymtensorError(
            f"profile: expected what f.profile returns, found {profile!r}",
            help="write explore(path, *arrays, profile=f.profile(*arrays))",
        )
    data = function_data(function, function.sizes(*inputs) if inputs else None)
    if profile is not None:
        data["profile"] = profile.to_dict()
    return build_page(data)


def write_page(
    function: Any, path: str | os.PathLike[str], *inputs: Any, profile: Any = None
) -> Path:
    """Write the page to a file and return its path."""
    return write_text(path, explorer_page(function, *inputs, profile=profile))
