"""The simulator can fail: stores with one fault each are found out, and their seeds replay."""

import pytest

from stageline_engine.testing.simulation import SimulationFailed, memory_backend, simulate
from stageline_engine.testing.simulation.__main__ import main
from stageline_engine.testing.simulation.world import OpenBackend
from tests.property.faults import FAULTS, Unordered, faulty, indiscreet

SEEDS_MAX = 120
"""Seeds within which every fault is found."""


async def found(*backends: OpenBackend) -> SimulationFailed:
    """The first seed that fails."""
    for seed in range(SEEDS_MAX):
        try:
            await simulate(seed, backends)
        except SimulationFailed as failure:
            return failure
    raise AssertionError(f"not found within {SEEDS_MAX} seeds")


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_a_store_is_found_and_replays(name: str) -> None:
    backend = faulty(FAULTS[name])
    failure = await found(backend)
    assert len(failure.script) <= 12  # the long history was made short
    with pytest.raises(SimulationFailed) as again:
        await simulate(failure.seed, (backend,))
    assert again.value.script == failure.script
    await simulate(failure.seed)


async def test_a_tenant_that_sees_another_is_found() -> None:
    assert (await found(indiscreet)).seed == 0


async def test_an_adapter_that_answers_otherwise_is_found_beside_memory() -> None:
    assert (await found(memory_backend, faulty(Unordered))).seed == 0


def test_a_failure_names_its_seed_and_how_to_replay_it(capsys: pytest.CaptureFixture[str]) -> None:
    beside = ["--beside", "tests.property.test_faults:forgetful", "--processes", "1"]
    assert main(["--seeds", "20", "--beside-every", "1", *beside]) == 1
    told = capsys.readouterr().err
    assert "To replay it: python -m stageline_engine.testing.simulation --seed 0" in told
    assert main(["--seed", "0", *beside]) == 1
    assert main(["--seed", "0", "--json"]) == 0


forgetful = faulty(FAULTS["acknowledges what it has not written"])
