"""What the worker of the test of large values runs: an output as large as is allowed, from an input that is small."""

import hashlib

from stageline_sdk import Context, Worker, Workflow, stage


@stage("make")
def make(ctx: Context[int]) -> str:
    """Returns a text whose JSON has exactly as many bytes as asked for."""
    return "0123456789abcdef" * ((ctx.input - 2) // 16) + "x" * ((ctx.input - 2) % 16)


@stage("measure")
def measure(ctx: Context[str]) -> list[str]:
    """Says what it was given, by length and SHA-256."""
    return [str(len(ctx.input)), hashlib.sha256(ctx.input.encode()).hexdigest()]


largest = Workflow("largest", input=int).pipe(make).pipe(measure).build()
worker = Worker(largest)
