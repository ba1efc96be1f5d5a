"""The demo: a dev server, a worker, and real documents. `python -m examples.demo [DOCS...]`."""
