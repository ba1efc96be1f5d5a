"""Batches of requests at providers: what pydantic-ai does not do itself is one module for each provider."""
