"""Tables of institutions into events, by mapping files: what a column means is said in a file, not in Python.

| module | what it does |
| --- | --- |
| `model`, `load`, `contract` | a mapping file, read and held against the contracts |
| `table`, `cells` | a file of text into columns of text, and these into numbers, times and words |
| `run`, `opened`, `rows`, `fields`, `events` | the adapter: rows by their rules into events |
| `library` | which mapping a file is for; the shipped mappings lie beside it (`*.yaml`) |
| `propose` | a mapping proposed from a file's header |
"""
