"""What buf does not check: that every RPC tells its errors, in codes and reasons that exist.

The form of a block, one line a case, then what the caller should do:

    // Errors:
    // - NOT_FOUND, RUN_NOT_FOUND: no such run in this namespace. Check id and namespace.

Errors that any method may return are told once, in error.proto; a method with no other says so.
"""

import re

STATUS_CODES = frozenset(
    {"CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"}
    | {"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"}
    | {"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}
)
RPC = re.compile(r"^\s*rpc\s+(\w+)\s*\(")
COMMENT = re.compile(r"^\s*//\s?(.*)$")
CASE = re.compile(r"^- (?P<code>\w+)(, (?P<reason>\w+))?: (?P<text>.+)$")
ONLY_COMMON = "Errors: none besides the common ones."
REASON_VALUE = re.compile(r"^\s*ERROR_REASON_(\w+)\s*=\s*[1-9]\d*", re.MULTILINE)


def error_reasons(error_proto: str) -> frozenset[str]:
    """Return the reasons of the ErrorReason enum, without its prefix."""
    return frozenset(REASON_VALUE.findall(error_proto))


def rpc_comments(proto: str) -> dict[str, list[str]]:
    """Return the comment lines directly above each RPC, by the RPC's name."""
    comments: dict[str, list[str]] = {}
    pending: list[str] = []
    for line in proto.splitlines():
        comment, rpc = COMMENT.match(line), RPC.match(line)
        if comment:
            pending.append(comment.group(1).rstrip())
            continue
        if rpc:
            comments[rpc.group(1)] = pending
        pending = []
    return comments


def untold_errors(proto: str, reasons: frozenset[str]) -> list[str]:
    """Find RPCs without an `Errors:` block, and blocks with unknown codes or reasons."""
    found = []
    for rpc, comment in rpc_comments(proto).items():
        if ONLY_COMMON in comment:
            continue
        if "Errors:" not in comment:
            found.append(f"{rpc}: has no Errors: block")
            continue
        cases = [line for line in comment[comment.index("Errors:") + 1 :] if line.startswith("-")]
        if not cases:
            found.append(f"{rpc}: its Errors: block lists nothing")
        for line in cases:
            case = CASE.match(line)
            if case is None:
                found.append(f"{rpc}: not of the form `- CODE, REASON: text`: {line}")
            elif case["code"] not in STATUS_CODES:
                found.append(f"{rpc}: {case['code']} is no status code")
            elif case["reason"] and case["reason"] not in reasons:
                found.append(f"{rpc}: {case['reason']} is no ErrorReason")
    return found
