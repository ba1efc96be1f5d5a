"""What leased jobs need, read along with the write of their batch.

The statement sees the rows as they were before it. Outputs and states that it writes itself are therefore taken from the
change set; it is told the outputs' sizes, so that all outputs of a job are counted against its budget in one order.
"""

from collections.abc import Sequence
from typing import Any

from stageline_engine.adapters.postgres.arrays import Parameter
from stageline_engine.adapters.postgres.rows import known_submissions
from stageline_engine.adapters.postgres.statements import changes as write
from stageline_engine.model.submission import KnownSubmission
from stageline_engine.ports import InputRequest, JobInputs
from stageline_engine.records import ChangeSet, JobKey

_PAYLOAD_TYPES = ("uuid", "text", "boolean")
_OUTPUT_TYPES = ("bigint", "uuid", "integer", "integer", "bigint")
_STATE_TYPES = ("bigint", "uuid", "integer", "integer")


class InputReader:
    """The requests of one commit: what to ask of the statement, and what its answer means."""

    def __init__(self, requests: Sequence[InputRequest], changes: ChangeSet) -> None:
        """Takes the requests and the batch that is written with them."""
        self._requests = requests
        self._fresh: dict[JobKey, str] = {}
        if requests:
            for result in changes.results:
                if result.output is not None:
                    self._fresh[result.run_id, result.stage_number] = result.output
        self._wanted = [
            self._wanted_output(position, request, number)
            for position, request in enumerate(requests, 1)
            for number in request.output_numbers
        ]
        self._suspended = [
            (position, request.run_id, request.stage_number, request.suspended_generation)
            for position, request in enumerate(requests, 1)
            if request.suspended_generation is not None
        ]
        self._submitted = [
            (position, request.run_id, request.stage_number, request.submitted_generation)
            for position, request in enumerate(requests, 1)
            if request.submitted_generation is not None
        ]
        self._fresh_states = (
            {
                (kept.run_id, kept.stage_number, kept.generation): kept.state
                for kept in changes.suspended_states
            }
            if self._suspended
            else {}
        )

    def _wanted_output(self, position: int, request: InputRequest, number: int) -> tuple[Any, ...]:
        fresh = self._fresh.get((request.run_id, number))
        known_bytes = None if fresh is None else len(fresh.encode())
        return position, request.run_id, number, known_bytes, request.outputs_bytes_max

    @property
    def wants_payloads(self) -> bool:
        """Whether there is any request."""
        return bool(self._requests)

    @property
    def wants_outputs(self) -> bool:
        """Whether any request asks for outputs."""
        return bool(self._wanted)

    @property
    def wants_states(self) -> bool:
        """Whether any request is for a stage that may have been suspended."""
        return bool(self._suspended)

    @property
    def wants_submissions(self) -> bool:
        """Whether any request is for a stage that was leased before, and may have submitted something."""
        return bool(self._submitted)

    def parameters(self) -> list[Parameter]:
        """The arrays for the statement, as far as it was built for them."""
        parameters = []
        if self.wants_payloads:
            payloads = [(one.run_id, one.stage_id, one.with_run_input) for one in self._requests]
            parameters += write.arrays_of(_PAYLOAD_TYPES, payloads)
        if self.wants_outputs:
            parameters += write.arrays_of(_OUTPUT_TYPES, self._wanted)
        if self.wants_states:
            parameters += write.arrays_of(_STATE_TYPES, self._suspended)
        if self.wants_submissions:
            parameters += write.arrays_of(_STATE_TYPES, self._submitted)
        return parameters

    def answers(self, rows: Sequence[tuple[Any, ...]]) -> list[JobInputs]:
        """Reads the statement's answer: one value for each request, in order."""
        configs = ["{}"] * len(self._requests)
        run_inputs: list[str | None] = [None] * len(self._requests)
        outputs: list[dict[int, str]] = [{} for _ in self._requests]
        states: list[str | None] = [None] * len(self._requests)
        submissions: list[list[KnownSubmission]] = [[] for _ in self._requests]
        for kind, position, number, first, second in rows:
            if kind == write.PAYLOAD:
                configs[position - 1] = first or "{}"
                run_inputs[position - 1] = second
            elif kind == write.OUTPUT:
                run_id = self._requests[position - 1].run_id
                outputs[position - 1][number] = first if first is not None else self._fresh[run_id, number]
            elif kind == write.STATE:
                states[position - 1] = first
            elif kind == write.SUBMITTED:
                submissions[position - 1] = known_submissions(first)
        for position, run_id, number, generation in self._suspended:
            fresh = self._fresh_states.get((run_id, number, generation))
            states[position - 1] = states[position - 1] if fresh is None else fresh
        return [
            JobInputs(*given) for given in zip(configs, run_inputs, outputs, states, submissions, strict=True)
        ]
