"""Parts of `scripts/docs_reference.py`: one module for each kind of reference page."""
