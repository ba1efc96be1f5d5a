"""Runnable examples. Start with `document_processor.py`; `python -m examples.demo` runs it on real documents."""
