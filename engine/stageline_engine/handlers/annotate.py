"""``annotation.attach`` for a batch, and the remarks that come along with other commands."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from stageline_engine.acceptance import annotation_violations
from stageline_engine.commands import AnnotateRun, Disposition, RunAnnotated
from stageline_engine.decide.report import in_stage, judge
from stageline_engine.decide.view import RunView
from stageline_engine.events import Annotation, AnnotationAdded
from stageline_engine.handlers.context import Batch
from stageline_engine.handlers.runs import run_not_found
from stageline_engine.rejections import Reason, Rejection, out_of_limits


async def annotate_runs(batch: Batch, commands: Sequence[AnnotateRun]) -> list[RunAnnotated | Rejection]:
    """Keeps remarks about runs, each once."""
    wanted: dict[UUID, frozenset[int]] = {}
    for command in commands:
        number = {command.stage_number} if command.stage_number else set()
        wanted[command.run_id] = wanted.get(command.run_id, frozenset()) | number
    await batch.load(wanted)
    fresh = await FreshAnnotations.find(
        batch, [(command.run_id, command.annotations) for command in commands]
    )
    return [_annotate(batch, command, fresh) for command in commands]


def _annotate(batch: Batch, command: AnnotateRun, fresh: "FreshAnnotations") -> RunAnnotated | Rejection:
    view = batch.space.view(command.run_id)
    if view is None or view.run.namespace != command.namespace:
        return run_not_found(command.namespace, str(command.run_id))
    wrong = tuple(annotation_violations(command.annotations))
    if wrong:
        return out_of_limits(wrong)
    if command.lease_token is not None and not _counts(view, command, command.lease_token):
        return Rejection(Reason.LEASE_SUPERSEDED, "The lease is not live any more.")
    stage = view.stages.get(command.stage_number)
    new = fresh.take(command.run_id, command.annotations)
    said = [annotation if stage is None else in_stage(annotation, stage) for annotation in new]
    batch.space.apply_all(command.run_id, [AnnotationAdded(annotation) for annotation in said])
    return RunAnnotated(tuple(annotation.id for annotation in new))


def _counts(view: RunView, command: AnnotateRun, lease_token: UUID) -> bool:
    return judge(view, command.namespace, command.stage_number, lease_token) is Disposition.RECORDED


class FreshAnnotations:
    """Tells remarks that are new from those that came before; a repeat is passed over."""

    def __init__(self, known: set[tuple[UUID, str]]) -> None:
        """Takes what is stored already; see ``find``."""
        self._known = known

    @classmethod
    async def find(
        cls, batch: Batch, said: Iterable[tuple[UUID, Sequence[Annotation]]]
    ) -> "FreshAnnotations":
        """Looks up which remarks of a batch are stored already; asks nothing where there are none."""
        wanted: dict[UUID, set[str]] = {}
        for run_id, annotations in said:
            if annotations:
                wanted.setdefault(run_id, set()).update(annotation.id for annotation in annotations)
        lookup: Mapping[UUID, set[str]] = wanted
        return cls(set(await batch.work.known_annotations(lookup)) if wanted else set())

    def take(self, run_id: UUID, annotations: Iterable[Annotation]) -> tuple[Annotation, ...]:
        """Returns the new ones, and knows them from then on."""
        new = []
        for annotation in annotations:
            if (run_id, annotation.id) not in self._known:
                self._known.add((run_id, annotation.id))
                new.append(annotation)
        return tuple(new)
