"""Write docs/commands/ from the kernel's commands, one page each, so that the pages never lie.

What a command does, its fields and its result are its docstrings. Its rejections, events and limits are what its handler can
reach in the source (`tools/code_reach.py`). A new command gets its page without a word here.

Usage: PYTHONPATH=. python tools/document_commands.py [--check]; with --check nothing is written, and stale pages exit with 1.
"""

import importlib
import inspect
import pkgutil
import re
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path

import stageline_engine
from stageline_engine import limits
from stageline_engine.commands import Command
from stageline_engine.kernel import HANDLERS
from stageline_engine.publish import PUBLISHERS
from tools.code_reach import Package, Reached
from tools.document_limits import shown

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "commands"
ENGINE = Package(
    ROOT / "engine" / "stageline_engine",
    leaves=tuple(
        f"stageline_engine.{name}" for name in ("commands", "events", "limits", "model", "ports", "records")
    ),
)
MADE = "Made by `make pages` from the code; change the docstrings there."
INDEX = f"""\
# Commands

Everything that changes a run goes through the kernel as one of these commands; `ARCHITECTURE.md` tells the life of one. In
Python they are frozen values, `stageline_engine.commands`, given to `Kernel.dispatch` or, many of one kind in one
transaction, to `Kernel.dispatch_many`. A refused command is a value too, a `Rejection`: nothing was changed, and its
neighbours are not hurt. Over the wire it is a gRPC status with the same reason (`error.proto`).

{MADE}

| Command | What it does |
|---|---|
"""
KEYED = """\
`idempotency_key` names the call. A repeat with the same key gives the first result and changes nothing; another request under
it is refused with `REQUEST_ID_REUSED`; a key whose first call still runs, with `REQUEST_IN_PROGRESS`. Key, fingerprint of the
request and result are written in the transaction of the work, so that a crash leaves all of them or none."""
NAME = re.compile(r"``([a-z]+\.[A-Za-z]+)``: ")


@dataclass(frozen=True)
class Told:
    """A docstring, taken apart.

    Attributes:
        name: The dotted name that it begins with; empty where it has none.
        prose: Its paragraphs.
        attributes: What it says of each field.
    """

    name: str
    prose: list[str]
    attributes: dict[str, str]


def told(kind: type) -> Told:
    """Returns what a class says of itself."""
    text = inspect.cleandoc(kind.__doc__ or "")
    head, _, listed = text.partition("\nAttributes:\n")
    attributes = {
        match[1]: " ".join(match[2].split())
        for match in re.finditer(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", listed, re.MULTILINE | re.DOTALL)
    }
    match = NAME.match(head)
    prose = [" ".join(part.split()) for part in NAME.sub("", head).strip().split("\n\n")]
    prose[0] = prose[0][:1].upper() + prose[0][1:]
    return Told(match[1] if match else "", prose, attributes)


def commands() -> Iterator[type]:
    """Yields every command of the engine that has a name, by name."""
    for module in pkgutil.walk_packages(stageline_engine.__path__, "stageline_engine."):
        if ".testing" not in module.name:
            importlib.import_module(module.name)
    known = {told(kind).name: kind for kind in Command.__subclasses__() if is_current(kind)}
    yield from (kind for name, kind in sorted(known.items()) if name)


def is_current(kind: type) -> bool:
    """Whether a class is what its module has by its name: slots make a dataclass anew, and leave the first one behind."""
    return getattr(sys.modules[kind.__module__], kind.__name__, None) is kind


def markdown(text: str) -> str:
    """Returns docstring text as Markdown."""
    return text.replace("``", "`").replace("|", "\\|")


def result_of(command: type) -> type:
    """Returns the type of a command's result."""
    (argument,) = typing.get_args(command.__orig_bases__[0])  # type: ignore[attr-defined]
    name = argument.__forward_arg__ if isinstance(argument, typing.ForwardRef) else argument.__name__
    return typing.cast(type, getattr(sys.modules[command.__module__], name))


def handler_of(command: type) -> Callable[..., object]:
    """Returns the function that carries a command out: the kernel's handler, else one that takes the command first."""
    if command in HANDLERS:
        return HANDLERS[command]
    for name, module in sorted(sys.modules.items()):
        if name.startswith("stageline_engine."):
            for function in vars(module).values():
                if inspect.isfunction(function) and function.__module__ == name:
                    first = next(iter(inspect.signature(function).parameters.values()), None)
                    if first is not None and first.annotation is command:
                        return function
    raise SystemExit(f"commands: no function carries out {command.__name__}")


def kind_of(field: Field[typing.Any]) -> str:
    """Returns the type of a field, as it is written, with its default."""
    written = (
        field.type
        if isinstance(field.type, str)
        else inspect.formatannotation(field.type, "stageline_engine")
    )
    kind = re.sub(r"[a-z_]+\.(?=[A-Za-z])", "", written).replace("|", "\\|")
    if field.default is not MISSING:
        value = getattr(field.default, "value", field.default)
        return f"`{kind}` | `{value!r}`"
    return f"`{kind}` | {'empty' if field.default_factory is not MISSING else 'required'}"


def field_rows(kind: type) -> list[str]:
    """Returns a table of a dataclass's fields; nothing where it has none."""
    said = told(kind).attributes
    rows = [f"| `{one.name}` | {kind_of(one)} | {markdown(said.get(one.name, ''))} |" for one in fields(kind)]
    return ["| Field | Type | Default | Meaning |", "|---|---|---|---|", *rows, ""] if rows else []


def members(found: frozenset[str], holder: str) -> list[str]:
    """Returns the last parts of the names that lie in a module or class, sorted."""
    return sorted(name.rpartition(".")[2] for name in found if name.rpartition(".")[0] == holder)


def public_events(found: Reached) -> list[str]:
    """Returns the public names of the events that a handler can make."""
    made = set(members(found.calls, "stageline_engine.events"))
    names: set[str] = set()
    for event, publisher in PUBLISHERS.items():
        if event.__name__ in made:
            texts = ENGINE.texts(f"{publisher.__module__}.{publisher.__name__}")
            names |= {text for text in texts if re.fullmatch(r"[a-z]+:[a-z_]+", text)}
    return sorted(names)


def paragraphs(said: Told, first_word: str) -> list[str]:
    """Returns the paragraphs that begin with a word."""
    return [markdown(text) for text in said.prose[1:] if text.startswith(first_word)]


def page(command: type) -> str:
    """Returns the page of a command."""
    said, result = told(command), result_of(command)
    handler = handler_of(command)
    found = ENGINE.reach(f"{handler.__module__}.{handler.__name__}")
    refusals = members(found.names, "stageline_engine.rejections.Reason")
    refused = "Rejection" in str(inspect.signature(handler).return_annotation)
    bounds = members(found.names, "stageline_engine.limits")
    keyed = any(one.name == "idempotency_key" for one in fields(command))
    reached = paragraphs(said, "Reached by ")
    repeats = paragraphs(said, "A repeat ") or ([KEYED] if keyed else [])
    other = [text for text in map(markdown, said.prose) if text not in (*reached, *repeats)]
    events = [f"[`{name}`](../events.md#{name.replace(':', '')})" for name in public_events(found)]
    lines = [
        f"# `{said.name}`",
        "",
        *interleaved(other),
        f"`{command.__module__}.{command.__name__}`. {MADE}",
        "",
    ]
    lines += ["## Fields", "", *(field_rows(command) or ["None.", ""])]
    lines += ["## Result", "", f"`{result.__name__}`: {' '.join(map(markdown, told(result).prose))}", ""]
    lines += field_rows(result)
    if refused:
        lines += ["## Rejections", "", *[f"- `{reason}`: {meaning(reason)}" for reason in refusals], ""]
    else:
        lines += ["## Rejections", "", "None: the result says what became of it.", ""]
    lines += ["## Events", "", f"Those of: {', '.join(events)}." if events else "None.", ""]
    if repeats:
        lines += ["## Repeats", "", *interleaved(repeats)]
    if bounds:
        lines += [
            "## Limits",
            "",
            *[f"- `{name}`: {shown(name, getattr(limits, name))}" for name in bounds],
            "",
        ]
        lines += ["[Every limit, with its reason](../limits.md).", ""]
    if reached:
        lines += ["## How it is reached", "", *interleaved(reached)]
    return "\n".join(lines).rstrip() + "\n"


def interleaved(texts: list[str]) -> list[str]:
    """Returns paragraphs with the empty lines between them."""
    return [line for text in texts for line in (text, "")]


def meaning(reason: str) -> str:
    """Returns what error.proto says of a reason."""
    source = (ROOT / "protos" / "stageline" / "v1" / "error.proto").read_text(encoding="utf-8")
    comment = re.search(rf"((?:  // .*\n)+)  ERROR_REASON_{reason} = ", source)
    if comment is None:
        raise SystemExit(f"commands: error.proto does not tell of {reason}")
    return " ".join(line.strip().removeprefix("// ") for line in comment[1].splitlines())


def pages() -> dict[Path, str]:
    """Returns every page by its path."""
    made = {FOLDER / f"{told(command).name}.md": page(command) for command in commands()}
    rows = [
        f"| [`{told(command).name}`]({told(command).name}.md) | {markdown(told(command).prose[0])} |\n"
        for command in commands()
    ]
    return {FOLDER / "README.md": INDEX + "".join(rows), **made}


def main(arguments: list[str]) -> int:
    """Write or check the pages."""
    made = pages()
    there = {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    if arguments == ["--check"]:
        if there == made:
            return 0
        print("commands: docs/commands is stale; run make pages and commit the result", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    for path in there.keys() - made.keys():
        path.unlink()
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
