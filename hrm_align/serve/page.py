"""The page to chat in, `page.html`, and its content security policy."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files


def read_page() -> tuple[str, str]:
    """Return the page to chat in, and its content security policy: its own script and style, and requests to this server."""
    text = (files("hrm_align") / "serve" / "page.html").read_text(encoding="utf-8")
    allowed = {}
    for tag in ("script", "style"):
        inner = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert inner is not None, f"the page has no <{tag}>"
        allowed[tag] = "sha256-" + base64.b64encode(hashlib.sha256(inner[1].encode()).digest()).decode()
    policy = "; ".join([
        "default-src 'none'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        *(f"{tag}-src '{value}'" for tag, value in allowed.items()),
    ])  # fmt: skip
    return text, policy
