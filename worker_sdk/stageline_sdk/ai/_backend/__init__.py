"""The only part that knows pydantic-ai and genai-prices: loaded with the first call of a model, never before.

Everything else passes our own types, so that another library, or its next major version, is a change in here alone.
"""
