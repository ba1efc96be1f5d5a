"""What answers in a dry run, in the place of every model: nothing leaves the process."""

from typing import Any

from pydantic_ai.embeddings import EmbeddingModel, TestEmbeddingModel
from pydantic_ai.models import Model
from pydantic_ai.models.test import TestModel

DRY_RUN_TEXT = "(dry run: no model was called)"


def dry_writer(output_type: type[Any]) -> Model:
    """Return a model that calls no tool, writes `DRY_RUN_TEXT`, and gives each field of an object a value of its type."""
    text = DRY_RUN_TEXT if output_type is str else None
    return TestModel(call_tools=[], custom_output_text=text, model_name="dry-run")


def dry_embedder() -> EmbeddingModel:
    """Return a model whose vectors are all ones."""
    return TestEmbeddingModel("dry-run", provider_name="dry-run")
