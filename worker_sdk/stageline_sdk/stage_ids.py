"""Stage ids as constants, so that a misspelt id fails where it is written."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from stageline_sdk._names import name_fits, require_stage_id
from stageline_sdk.errors import DefinitionError, DuplicateStageIdError, InvalidStageIdError

if TYPE_CHECKING:
    from stageline_sdk.built_workflow import BuiltWorkflow


class StageIds(Mapping[str, str]):
    """A frozen set of stage ids: `ids.EXTRACT_TEXT == ids["EXTRACT_TEXT"] == "extract-text"`.

    A name is its id in upper case, with `-` and `.` as `_`. Iterating yields the names, in the order of the workflow.
    """

    __slots__ = ("_id_by_name",)

    _id_by_name: Mapping[str, str]

    def __init__(self, ids: Iterable[str]) -> None:
        id_by_name: dict[str, str] = {}
        for stage_id in ids:
            name = re.sub(r"[-.]", "_", require_stage_id(stage_id)).upper()
            if name in id_by_name:
                raise DuplicateStageIdError(_collision(name, id_by_name[name], stage_id), stage_id=stage_id)
            id_by_name[name] = stage_id
        object.__setattr__(self, "_id_by_name", id_by_name)

    def __getitem__(self, name: str) -> str:
        return self._id_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._id_by_name)

    def __len__(self) -> int:
        return len(self._id_by_name)

    def __getattr__(self, name: str) -> str:
        try:
            return self._id_by_name[name]
        except KeyError:
            raise AttributeError(f"no stage id {name}; there are: {', '.join(self)}") from None

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"stage ids are frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"stage ids are frozen: {name} cannot be deleted")

    def __reduce__(self) -> tuple[type["StageIds"], tuple[list[str]]]:
        return StageIds, (list(self.values()),)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        return f"StageIds({', '.join(f'{name}={stage_id!r}' for name, stage_id in self.items())})"


def stage_ids(workflow: "BuiltWorkflow[Any, Any]") -> StageIds:
    """Return the ids of a workflow's stages as constants.

    Raises:
        DuplicateStageIdError: Two ids give the same constant, such as `a-b` and `a_b`.
    """
    return StageIds(workflow.stage_ids)


def define_stage_ids(ids: Iterable[str]) -> StageIds:
    """Return these ids as constants, before there is a workflow that has them.

    Args:
        ids: Valid stage ids.

    Raises:
        InvalidStageIdError: One of them breaks the rule for ids.
        DuplicateStageIdError: One is there twice, or two give the same constant.
        DefinitionError: `ids` is one string instead of several.
    """
    if isinstance(ids, str):
        raise DefinitionError(
            f"define_stage_ids() takes several ids, got the string {ids!r}: write [{ids!r}]"
        )
    return StageIds(ids)


def is_valid_stage_id(value: object, workflow: "BuiltWorkflow[Any, Any] | None" = None) -> bool:
    """Whether the value keeps the rule for ids and, with a workflow, is the id of one of its stages."""
    if not isinstance(value, str) or not name_fits(value):
        return False
    return workflow is None or value in workflow.stage_ids


def assert_valid_stage_id(value: object, workflow: "BuiltWorkflow[Any, Any] | None" = None) -> str:
    """Return the value, now known to be a stage id.

    Args:
        value: What ought to be a stage id.
        workflow: If given, the workflow that must have the stage.

    Raises:
        InvalidStageIdError: It breaks the rule for ids, or the workflow has no such stage; the message lists those it has.
    """
    stage_id = require_stage_id(value)
    if workflow is not None and stage_id not in workflow.stage_ids:
        raise InvalidStageIdError(
            f"workflow {workflow.name!r} has no stage {stage_id!r}; its stages are: {', '.join(workflow.stage_ids)}",
            id=stage_id,
        )
    return stage_id


def _collision(name: str, first: str, second: str) -> str:
    if first == second:
        return f"stage id {first!r} is given twice"
    return f"stage ids {first!r} and {second!r} both give the constant {name}: rename one of them"
