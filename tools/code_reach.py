"""What a function of a package can reach: read from its source, so that pages about it cannot drift.

The walk follows names: functions, classes and constants of the package that a body mentions, and so on. It passes over
annotations, and over methods called on values, which is what ports are behind. What it finds may therefore be a little
too much, and leaves out what only an adapter does.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr


@dataclass(frozen=True, slots=True)
class Reached:
    """What a walk met, as full names such as ``package.module.name``.

    Attributes:
        names: Everything that was mentioned, with members: ``package.rejections.Reason.RUN_NOT_FOUND``.
        calls: What was called; of a class, that one was made.
    """

    names: frozenset[str]
    calls: frozenset[str]


class Package:
    """The source of a package, by full name."""

    def __init__(self, root: Path, *, leaves: tuple[str, ...] = ()) -> None:
        """Reads a package.

        Args:
            root: Its folder; the folder's name is the package's.
            leaves: Modules that are named but not walked into.
        """
        self._definitions: dict[str, Definition] = {}
        self._scopes: dict[str, dict[str, str]] = {}
        self._leaves = leaves
        for path in sorted(root.rglob("*.py")):
            parts = [root.name, *path.relative_to(root).with_suffix("").parts]
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            self._read(module, ast.parse(path.read_text(encoding="utf-8")))

    def _read(self, module: str, tree: ast.Module) -> None:
        scope = self._scopes.setdefault(module, {})
        for node in tree.body:
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    self._definitions[f"{module}.{node.name}"] = node
                    scope[node.name] = f"{module}.{node.name}"
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ):
                    self._definitions[f"{module}.{name}"] = value
                    scope[name] = f"{module}.{name}"
                case ast.ImportFrom(module=str(source)):
                    scope |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in node.names}

    def resolve(self, name: str) -> str:
        """Returns the full name of what a name stands for, through every import."""
        holder, _, member = name.rpartition(".")
        if not holder or name in self._definitions or name in self._scopes:
            return name
        target = self._scopes.get(self.resolve(holder), {}).get(member)
        return self.resolve(target) if target and target != name else f"{self.resolve(holder)}.{member}"

    def reach(self, start: str) -> Reached:
        """Returns everything that a function mentions, itself or through others."""
        names: set[str] = set()
        calls: set[str] = set()
        waiting = [self.resolve(start)]
        walked: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in walked or name not in self._definitions or name.startswith(self._leaves):
                continue
            walked.add(name)
            for node in _mentions(self._definitions[name]):
                if target := self._target(node.func if isinstance(node, ast.Call) else node, name):
                    names.add(target)
                    if isinstance(node, ast.Call):
                        calls.add(target)
                    waiting.append(target)
        return Reached(frozenset(names), frozenset(calls))

    def texts(self, name: str) -> Iterator[str]:
        """Yields every string in a function and in the functions that it mentions, in order for each."""
        for one in sorted({self.resolve(name), *self.reach(name).names}):
            if (definition := self._definitions.get(one)) is not None:
                for node in ast.walk(definition):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str):
                        yield node.value

    def _target(self, node: ast.expr, within: str) -> str | None:
        """The full name of what a name or a dotted name means in the module of a definition."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        found = self._scopes[within.rpartition(".")[0]].get(node.id)
        return self.resolve(".".join([found, *reversed(parts)])) if found else None


def _mentions(definition: Definition) -> Iterator[ast.Name | ast.Attribute | ast.Call]:
    """Yields what a definition's code names and calls, without annotations."""
    if isinstance(definition, ast.expr):
        roots: list[ast.AST] = [definition]
    elif isinstance(definition, ast.ClassDef):
        methods = [
            node for node in definition.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        roots = [statement for method in methods for statement in method.body]
    else:
        roots = [*definition.body]
    while roots:
        node = roots.pop()
        if isinstance(node, ast.Name | ast.Attribute | ast.Call):
            yield node
        annotated = isinstance(node, ast.AnnAssign)
        roots += [
            child
            for name, value in ast.iter_fields(node)
            if not (annotated and name == "annotation")
            for child in (value if isinstance(value, list) else [value])
            if isinstance(child, ast.AST)
        ]
