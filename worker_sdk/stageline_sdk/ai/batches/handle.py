"""What finds a submitted batch again: plain JSON, from any process."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class BatchPart(BaseModel):
    """One batch at the provider. A submission that is over the provider's limits has several.

    Attributes:
        key: What the provider was given to know it by.
        item_ids: Its items.
        batch: The provider's batch, as the library for its interface writes it; opaque.
        candidates: In the place of `batch`, where a crash left it in doubt and the provider cannot be asked by key: batches
            that may be it. Their results will tell.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    item_ids: tuple[str, ...]
    batch: Mapping[str, Any] | None = None
    candidates: tuple[Mapping[str, Any], ...] = ()


class BatchHandle(BaseModel):
    """What `submit` returns: give it to `status`, `results` and `cancel`, in this process or another.

    It holds no secret and no prompt. Make it the state of a suspension, or a field of it.

    Attributes:
        version: Of this form.
        model: The name by which the model was asked for.
        output_type: Name of the output's type.
        prompts_sha256: SHA-256 of the prompts, in the order of the items.
        submitted_at: When.
        parts: The provider's batches.
    """

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    model: str
    output_type: str
    prompts_sha256: str
    submitted_at: datetime
    parts: tuple[BatchPart, ...]

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The items of all parts."""
        return tuple(item_id for part in self.parts for item_id in part.item_ids)
