"""The page: one HTML file with everything in it, which opens no connection.

Its parts are files of this package. Data goes in as JSON that HTML can't mistake for markup, and is shown
as text only. A content security policy allows exactly the script and the style that are in the page.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any

SCRIPTS = (
    "model.js", "layout.js", "code.js", "theme.js", "scene.js", "graph.js", "elements.js", "source.js",
    "inspector.js", "tabs.js", "charts.js", "changes.js", "paint.js", "search.js", "keys.js", "settings.js",
    "main.js",
)  # fmt: skip
"""In the order in which they need each other."""


def embed_json(data: Any) -> str:
    """Return JSON text that stands safely inside a script element.

    Only ASCII, and no ``<``, ``>`` or ``&``: neither ``</script>`` nor ``<!--`` nor a line separator
    of Unicode can occur.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def build_page(data: Mapping[str, Any]) -> str:
    """Return the HTML of the explorer for the data of a function."""
    script = "\n".join(['"use strict";', "(() => {", *map(_part, SCRIPTS), "})();", ""])
    style = _part("style.css")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "POLICY": escape(policy),
        "TITLE": escape(str(data["name"])),
        "STYLE": style,
        "DATA": embed_json(data),
        "SCRIPT": script,
    }
    page = []
    for piece in _part("page.html").split("{{"):
        name, found, rest = piece.partition("}}")
        page.append(parts[name] + rest if found else piece)
    return "".join(page)


def _part(name: str) -> str:
    return resources.files("symtensor.explorer").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Return the hash by which a content security policy knows an inline text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
