"""Random changes to bytes, as a broken wire or a hostile worker makes them.

Most are one changed byte: what moves the rest is hardly ever a message any more, and nothing behind the parser sees it.
"""

import random

EDITS_MAX = 4
IN_PLACE = 0.7
"""Share of mutations that change one byte and move none."""


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Returns the bytes with one byte changed, or with one to four edits of any kind."""
    changed = bytearray(data)
    if chance.random() < IN_PLACE:
        changed[chance.randrange(len(data))] ^= chance.randrange(1, 256)
        return bytes(changed)
    for _ in range(chance.randint(1, EDITS_MAX)):
        _edit(changed, chance)
    return bytes(changed)


def _edit(data: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(data) + 1)
    match chance.randrange(5):
        case 0 if place < len(data):
            data[place] ^= 1 << chance.randrange(8)
        case 1 if place < len(data):
            data[place] = chance.randrange(256)
        case 2:
            data[place:place] = chance.randbytes(chance.randint(1, 8))
        case 3:
            del data[place : place + chance.randint(1, 8)]
        case _:
            start = chance.randrange(len(data) + 1)
            data[place:place] = data[start : start + chance.randint(1, 32)]
