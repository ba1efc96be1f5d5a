"""Every scenario, short: seconds each. `make chaos` plays them long."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.arena import Arena, arena
from tests.chaos.catalogue import SCENARIOS
from tests.chaos.cluster import Cluster
from tests.chaos.scenario import Scenario
from tests.support.postgres import THROW_AWAY

pytestmark = pytest.mark.timeout(180)

LOG_CHARACTERS_SHOWN = 12_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The PostgreSQL of these tests; its own, as some end it."""
    made = Cluster(tmp_path_factory.mktemp("chaos"), THROW_AWAY)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def stage(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Arena]:
    """An arena whose processes' words are shown with a failure."""
    with arena(cluster, tmp_path, 1, print) as made:
        yield made
        for name, text in made.processes.logs():
            request.node.add_report_section("call", f"log of {name}", text[-LOG_CHARACTERS_SHOWN:])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_promise_is_kept(scenario: Scenario, stage: Arena) -> None:
    figures = scenario.play(stage, scenario.short)
    print(figures)
