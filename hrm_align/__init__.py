"""hrm_align: fine-tuning and alignment for HRM-Text, a recurrent prefix-LM.

Importing the package installs the prefix mask into Transformers' HrmText classes (`hrm_align.models.prefix_mask`).
"""

from hrm_align._version import __version__
from hrm_align.models.loading import load_model, load_tokenizer
from hrm_align.models.prefix_mask import install as _install_prefix_mask
from hrm_align.rendering import render_conversation, render_prompt

__all__ = ["__version__", "load_model", "load_tokenizer", "render_conversation", "render_prompt"]

_install_prefix_mask()
