"""One scenario a file; `tests/chaos/catalogue.py` lists them."""
