"""Random changes to bytes, as a broken wire or a hostile worker makes them."""

import random

EDITS_MAX = 4


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Returns the bytes with one to four random edits."""
    changed = bytearray(data)
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
