"""What every blob store checks before it touches anything."""

from stageline_engine.blob_keys import key_fault


def canonical(key: str) -> str:
    """Returns a key that may be used.

    Raises:
        ValueError: It is not canonical. Callers check what comes from outside, and say so in their own words.
    """
    fault = key_fault(key)
    if fault:
        raise ValueError(f"the blob key {key[:100]!r} is not canonical: {fault}")
    return key


def canonical_folder(folder: str) -> str:
    """Returns a folder that may be used; empty means everything.

    Raises:
        ValueError: It is not canonical.
    """
    return canonical(folder) if folder else ""
