"""What a stage submits elsewhere at a price, and how often: once, whatever crashes in between."""

from dataclasses import dataclass
from typing import Literal

SubmissionPhase = Literal["DECLARED", "CONFIRMED", "WITHDRAWN", "SUSPECTED"]


@dataclass(frozen=True, slots=True)
class Submission:
    """Something that attempts of a stage submitted elsewhere in its present generation, as the server knows it.

    Attributes:
        key: What the provider was given to know it by: the name in the stage's code, and a UUID that follows from run,
            stage and generation. At most 101 characters of `A-Z a-z 0-9 . _ -`.
        phase: DECLARED: it may or may not have reached the provider. CONFIRMED: the provider has it. WITHDRAWN: it
            surely did not reach the provider. SUSPECTED: nobody can say, and a person has to look.
        reference: The provider's id for it, once confirmed; else empty.
    """

    key: str
    phase: SubmissionPhase
    reference: str = ""
