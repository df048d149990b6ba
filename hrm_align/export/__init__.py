"""From a run to a folder that others load in one line, that answers what was measured, and that says what it is.

`source` reads a run, `folder` writes what is published, `stock` asks it with nothing but Transformers, `parity` compares the
answers with the run's own, `card` tells of it all, `secrets` looks for what must not leave, `push` uploads.
"""
