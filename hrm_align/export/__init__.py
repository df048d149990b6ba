"""From a run to a folder that others load in one line, that answers what was measured, and that says what it is.

`pipeline` is the way of an export: `eval_set` names what is asked, `merging` merges an adapter, `folder` writes what is published
and looks for what must not leave, `stock` asks it with nothing but Transformers, `parity` compares the answers with the run's
own, `card` tells of it all, `hub` uploads.
"""
