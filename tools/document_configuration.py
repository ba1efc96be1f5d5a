"""Write docs/configuration.md from the settings and the exit codes, so that the page never lies.

Usage: python tools/document_configuration.py [--check]; with --check nothing is written, and a stale page exits with 1.
"""

import ast
import itertools
import sys
import types
import typing
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from stageline_cli import exit_codes
from stageline_server.settings import PREFIX, Settings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
HEAD = """\
# Configuration

This page is made by `make pages`, from `server/stageline_server/settings.py` and `cli/stageline_cli/exit_codes.py`.

Settings are environment variables. Options of the command line go over them: `stageline server --help`. An empty variable
is as one that is not set. Durations are seconds, or ISO 8601 text such as `PT30S`. A value that is wrong ends the command
with exit code 2 and the name of the variable.

## The server: `stageline server`, `stageline dev`, `stageline migrate`

| Variable | Kind and range | Default | Meaning |
|---|---|---|---|
"""
CLIENTS = f"""
## Clients and workers

| Variable | Kind | Default | Meaning |
|---|---|---|---|
| `{PREFIX}ADDRESS` | `host:port` | `127.0.0.1:7460` | The server that `stageline run`, `workflow` and `worker` speak to; also \
their option `--address`. |
| `{PREFIX}NAMESPACE` | name | `default` | The tenant to work in; also the option `--namespace`. |
| `{PREFIX}TOKEN` | text | none | Who you are, to a server that asks: sent along with each call. |
| `{PREFIX}TLS_CA` | file | what the machine trusts | Certificates, PEM, one of which must have signed the server's. Makes the \
connection encrypted, as `https://` in front of the address does. |
| `{PREFIX}TLS_CLIENT_CERT` | file | none | Your own certificate, PEM, for a server that asks for one (mTLS). |
| `{PREFIX}TLS_CLIENT_KEY` | file | none | Its private key, PEM. |

## The embedded database of `stageline dev`

| Variable | Kind | Default | Meaning |
|---|---|---|---|
| `{PREFIX}POSTGRES_BINDIR` | folder | what is installed | The `bin` folder of the PostgreSQL to run. |

## Exit codes

| Code | Name | Meaning |
|---|---|---|
"""


def shown(value: Any) -> str:
    """Return a default as people write it."""
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value is False:
        return "none" if value is None else "no"
    return f"`{value}`" if str(value) else "none"


def kind(field: FieldInfo) -> str:
    """Return what a value must be: its kind, and its range or choices."""
    annotation = field.annotation
    if typing.get_origin(annotation) is types.UnionType:  # a value, or none
        (annotation,) = (one for one in typing.get_args(annotation) if one is not type(None))
        if annotation is Path:
            return "file"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{choice.value}`" for choice in annotation)
    names: dict[Any, str] = {
        timedelta: "duration",
        int: "number",
        SecretStr: "URL",
        Path: "folder",
        str: "text",
        bool: "yes or no",
    }
    bounds = [text for limit in field.metadata if (text := bound(limit))]
    return " ".join([names[annotation], *bounds])


def bound(limit: Any) -> str:
    """Return one end of a range in words."""
    match limit:
        case annotated_types.Ge(ge=value):
            return f"from {shown(value)}".replace("`", "")
        case annotated_types.Gt(gt=value):
            return f"above {shown(value)}".replace("`", "")
        case annotated_types.Le(le=value):
            return f"to {shown(value)}".replace("`", "")
    return ""


def setting_rows() -> list[str]:
    """Return one table row for each setting."""
    rows = []
    for name, field in Settings.model_fields.items():
        if not field.description:
            raise SystemExit(f"configuration: {name} has no description")
        rows.append(
            f"| `{PREFIX}{name.upper()}` | {kind(field)} | {shown(field.default)} | {field.description} |"
        )
    return rows


def exit_code_rows(source: str) -> list[str]:
    """Return one table row for each exit code; its meaning is the text below it."""
    body = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)).body
    rows = []
    for code, meaning in itertools.pairwise(body):
        if isinstance(code, ast.Assign) and isinstance(meaning, ast.Expr):
            text = " ".join(str(ast.literal_eval(meaning.value)).split())
            rows.append(f"| {ast.literal_eval(code.value)} | {ast.unparse(code.targets[0])} | {text} |")
    return rows


def main(arguments: list[str]) -> int:
    """Write or check the page."""
    codes = exit_code_rows(Path(exit_codes.__file__).read_text(encoding="utf-8"))
    page = HEAD + "\n".join(setting_rows()) + "\n" + CLIENTS + "\n".join(codes) + "\n"
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print("configuration: docs/configuration.md is stale; run make pages", file=sys.stderr)
        return 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
