"""The rules of style that no linter knows, as pure functions: source text in, findings out.

A finding is a line of text that starts with a line number, so that the tests over the tree can
prefix the file. `test_rules.py` shows for each rule a sample that breaks it.
"""

import ast
import re
import sys
from collections.abc import Iterator

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
RPC_METHOD_LINES_MAX = 25

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

# A number of what? Durations are timedeltas; a number says its unit last.
DURATION_NAME = re.compile(r"(^|_)(timeout|interval|delay|duration|ttl|backoff|age|wait|period)$")
# Standard library modules by which the pure core could reach time, chance, files or the network.
IMPURE_MODULES = frozenset(
    {"asyncio", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "selectors"}
    | {"signal", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time"}
)
# What the pure core may use beside it: immutable values that are cheap to make (docs/decisions/0010).
PURE_LIBRARIES = frozenset({"msgspec"})
TEST_ONLY_MODULES = frozenset({"grpc_testing", "hypothesis", "pytest", "tests", "unittest"})
SQL_STATEMENT = re.compile(
    r"\b(SELECT\s.*\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+(AS\s+\w+\s+)?SET|DELETE\s+FROM)\s", re.DOTALL
)


def functions(source: str) -> Iterator[FunctionNode]:
    """Yield every function of a module, nested ones too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, FunctionNode):
            yield node


def code_lines_count(function: FunctionNode) -> int:
    """Return the lines of a function from `def` to its end, its docstring left out."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def imported_modules(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and full module name of every import."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.lineno, node.module


def long_functions(source: str, lines_max: int = FUNCTION_LINES_MAX) -> list[str]:
    """Find functions that cannot be read at a glance."""
    return [
        f"{function.lineno}: {function.name} has {code_lines_count(function)} lines, at most {lines_max}"
        for function in functions(source)
        if code_lines_count(function) > lines_max
    ]


def long_rpc_methods(source: str) -> list[str]:
    """Find servicer methods (CamelCase, as in the proto) that do more than translate."""
    return [
        f"{function.lineno}: {function.name} has {code_lines_count(function)} lines, at most {RPC_METHOD_LINES_MAX}"
        for function in functions(source)
        if function.name[0].isupper() and code_lines_count(function) > RPC_METHOD_LINES_MAX
    ]


def sleeps(source: str) -> list[str]:
    """Find waits for a fixed time; `sleep(0)` only yields to the loop and is none."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        yields = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        if name == "sleep" and not yields:
            found.append(f"{node.lineno}: waits for a fixed time; wait on a signal, or see tests/waiting.py")
    return found


def mocks(source: str) -> list[str]:
    """Find mocks: our own code is tested as it is."""
    return [
        f"{line}: imports {module}"
        for line, module in imported_modules(source)
        if module == "mock" or module.startswith("unittest")
    ]


def raises(source: str) -> list[str]:
    """Find exceptions where a refusal is a value."""
    return [
        f"{node.lineno}: raises; a refused command is a Rejection, returned"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Raise)
    ]


def impure_imports(source: str) -> list[str]:
    """Find imports of the pure core beyond the innocent standard library and the engine itself."""
    found = []
    for line, module in imported_modules(source):
        top = module.partition(".")[0]
        innocent = top in sys.stdlib_module_names and top not in IMPURE_MODULES
        if not innocent and top not in {"stageline_engine", *PURE_LIBRARIES}:
            found.append(f"{line}: imports {module}; the core takes values, and reaches nothing")
    return found


def test_only_imports(source: str) -> list[str]:
    """Find imports of test tools in shipped code."""
    return [
        f"{line}: imports {module}, which users do not have"
        for line, module in imported_modules(source)
        if module.partition(".")[0] in TEST_ONLY_MODULES
    ]


def unitless_durations(source: str) -> list[str]:
    """Find durations that are bare numbers."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg):
            name, annotation = node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, annotation = node.target.id, node.annotation
        else:
            continue
        words = (
            {child.id for child in ast.walk(annotation) if isinstance(child, ast.Name)}
            if annotation
            else set()
        )
        if DURATION_NAME.search(name) and words & {"int", "float"}:
            found.append(
                f"{node.lineno}: {name} is a number without a unit; take a timedelta, or name the unit"
            )
    return found


def sql_strings(source: str) -> list[str]:
    """Find SQL statements written where they run, instead of in the home of statements."""
    return [
        f"{node.lineno}: holds SQL; statements have names and one home"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL_STATEMENT.search(node.value)
    ]


def protocol_methods(source: str) -> list[str]:
    """Return the public method names of every Protocol class, in order; properties are left out."""
    return [
        member.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)
        for member in node.body
        if isinstance(member, FunctionNode) and not member.name.startswith("_")
        if "property" not in map(ast.unparse, member.decorator_list)
    ]


def constants(source: str) -> list[str]:
    """Return the names of a module's public constants."""
    found = []
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        found += [target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()]
    return [name for name in found if not name.startswith("_")]
