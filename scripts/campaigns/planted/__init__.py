"""Parts of planted_faults.py: `sizes` measures how large a fault must be to matter, `checks` runs the checks under a fault."""
