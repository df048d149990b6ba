"""Parts of planted_faults.py."""
