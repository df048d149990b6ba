"""hrm_align: fine-tuning and alignment for HRM-Text, a recurrent prefix LM.

Importing the package installs the prefix mask (`hrm_align.models.prefix_mask`) in Transformers' HrmText classes, and registers the
class of reward models (`hrm_align.models.reward_model`): at once if the classes are already imported, otherwise when they are first
imported. In the same way it registers the model `hrm` with lm_eval (`hrm_align.evaluation.lm_eval`). Public names are imported when they are first used, so that `import hrm_align` is fast.
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

_MODULES = {
    "load_model": "hrm_align.models.loading",
    "load_tokenizer": "hrm_align.models.loading",
    "render_conversation": "hrm_align.rendering",
    "render_prompt": "hrm_align.rendering",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'hrm_align' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])


_CLASSES = "transformers.models.hrm_text.modeling_hrm_text"
_CONFIG = "transformers.models.hrm_text.configuration_hrm_text"
_classes_were_imported_first = _CLASSES in sys.modules


def _install_mask(_: ModuleType) -> None:
    """Install mask and reward model by importing their modules, which may be in progress if they imported the classes."""
    try:
        import_module("hrm_align.models.prefix_mask")
        import_module("hrm_align.models.reward_model")
    except BaseException:
        # Make the import of the classes fail, too. wrapt has removed this hook, so register it again: otherwise a second import
        # would succeed without the mask.
        if not _classes_were_imported_first:
            sys.modules.pop(_CLASSES, None)
            register_post_import_hook(_install_mask, _CLASSES)
        raise


def _import_classes(_: ModuleType) -> None:
    """Import the classes when their config is imported: an auto class reads the config first, and then needs the registration."""
    if _CLASSES not in sys.modules:
        import_module(_CLASSES)


register_post_import_hook(_install_mask, _CLASSES)
register_post_import_hook(_import_classes, _CONFIG)


def _register_backend(models: ModuleType) -> None:
    """Register the backend of lm-evaluation-harness, which lm_eval imports when it is used."""
    import_module("lm_eval.api.registry").model_registry.register("hrm", target="hrm_align.evaluation.lm_eval:HrmLM")


register_post_import_hook(_register_backend, "lm_eval.models")
