"""Export a run as a folder that stock Transformers loads, after checking that the folder reproduces the run's answers.

`pipeline` runs the export: `eval_set` chooses the rows to ask, `merging` merges an adapter, `folder` writes the files and scans them
for secrets, `stock` runs the folder in plain Transformers, `parity` compares its answers with those of the run, `card` writes the
model card, and `hub` uploads the folder. `gguf` writes files for llama.cpp, and `gguf_proof` compares them with the run through
`llama_cpp_answers`, which runs in any environment.
"""
