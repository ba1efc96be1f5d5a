"""Write docs/limits.md from stageline_engine/limits.py, so that the page never lies.

Usage: python tools/document_limits.py [--check]; with --check nothing is written, and a stale page exits with 1.
"""

import ast
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from stageline_engine import limits

PAGE = Path(__file__).resolve().parents[1] / "docs" / "limits.md"
HEAD = """\
# Limits

Every bound of the system, from `engine/stageline_engine/limits.py`; this page is made by `make pages`. What breaks a
limit is met with a typed error that names the limit, its value and the size it was given. The server tells them too:
`AdminService.GetServerInfo` to clients, `Welcome` to workers. No SDK has them built in.

| Limit | Value | Why |
|---|---|---|
"""
KIBIBYTE = 1024


def shown(name: str, value: Any) -> str:
    """Return a value as people read it: with its unit."""
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
            if seconds >= length and seconds % length == 0:
                return f"{seconds // length} {unit}"
        return f"{seconds} s"
    if not isinstance(value, int):
        return f"`{value}`".replace("|", "\\|")
    if "_BYTES_" in name:
        for unit, length in (("MiB", KIBIBYTE**2), ("KiB", KIBIBYTE)):
            if value >= length and value % length == 0:
                return f"{value // length} {unit}"
        return f"{value} bytes"
    return f"{value:,}" + (" characters" if "_LENGTH_" in name else "")


def rows(source: str) -> list[str]:
    """Return one table row for each constant; constants in a block share the text below the block."""
    found: list[str] = []
    block: list[str] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            block += [target.id for target in targets if isinstance(target, ast.Name) and target.id.isupper()]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and block:
            why = " ".join(str(node.value.value).split()).replace("``", "`")
            found += [f"| `{name}` | {shown(name, getattr(limits, name))} | {why} |" for name in block]
            block = []
    if block:
        raise SystemExit(f"limits: no reason is given below {', '.join(block)}")
    return found


def main(arguments: list[str]) -> int:
    """Write or check the page."""
    page = HEAD + "\n".join(rows(Path(limits.__file__).read_text(encoding="utf-8"))) + "\n"
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print("limits: docs/limits.md is stale; run make pages and commit the result", file=sys.stderr)
        return 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
