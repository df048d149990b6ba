"""hrm_align: fine-tuning and alignment for HRM-Text, a recurrent prefix-LM.

Importing the package sees to it that Transformers' HrmText classes run under the prefix mask
(`hrm_align.models.prefix_mask`): at once where they are imported already, else when they are first imported. Nothing heavy is
imported before a name is used that needs it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from wrapt import register_post_import_hook

from hrm_align._version import __version__

if TYPE_CHECKING:
    from hrm_align.models.loading import load_model, load_tokenizer
    from hrm_align.rendering import render_conversation, render_prompt

__all__ = ["__version__", "load_model", "load_tokenizer", "render_conversation", "render_prompt"]

_HOMES = {
    "load_model": "hrm_align.models.loading",
    "load_tokenizer": "hrm_align.models.loading",
    "render_conversation": "hrm_align.rendering",
    "render_prompt": "hrm_align.rendering",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hrm_align' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


_CLASSES = "transformers.models.hrm_text.modeling_hrm_text"
_came_first = _CLASSES in sys.modules


def _install_mask(_: ModuleType) -> None:
    """Importing the module installs the mask. It may be under way already, where it is what has imported the classes."""
    try:
        import_module("hrm_align.models.prefix_mask")
    except BaseException:
        # The import of the classes fails too. wrapt has forgotten this hook, and without it the next attempt would succeed.
        if not _came_first:
            sys.modules.pop(_CLASSES, None)
            register_post_import_hook(_install_mask, _CLASSES)
        raise


register_post_import_hook(_install_mask, _CLASSES)
