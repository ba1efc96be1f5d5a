"""Every scenario, in order."""

from tests.chaos.scenario import Scenario
from tests.chaos.scenarios import (
    database_restarts,
    frames,
    mass_cancel,
    memory,
    mutations,
    poison,
    servers_killed,
    silences,
    stalled_direction,
    workers_killed,
)

SCENARIOS: tuple[Scenario, ...] = (
    frames.SCENARIO,
    workers_killed.SCENARIO,
    servers_killed.SCENARIO,
    silences.SCENARIO,
    stalled_direction.SCENARIO,
    database_restarts.SCENARIO,
    mass_cancel.SCENARIO,
    poison.SCENARIO,
    memory.SCENARIO,
    mutations.SCENARIO,
)
