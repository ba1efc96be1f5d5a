"""The examples that call models run as their texts say, against the fake provider."""

import sys
from datetime import timedelta

import pytest

from examples.providers import MODELS
from tests.support.processes import Processes

pytestmark = pytest.mark.timeout(240)

WITHIN = timedelta(minutes=3)
# A real key of whoever runs the tests must cost them nothing.
NO_KEYS = dict.fromkeys(MODELS, "")


def said(processes: Processes, *arguments: str) -> str:
    """What an example prints; it must end well."""
    process = processes.start("example", sys.executable, "-m", *arguments, environment=NO_KEYS)
    assert process.wait(WITHIN) == 0
    return process.log()


def test_a_corpus_is_summarised_and_its_cost_is_shown(processes: Processes) -> None:
    shown = said(processes, "examples.summarise_corpus", "2")
    assert "A made-up answer to: What is this project" in shown
    assert "summarise.ARCHITECTURE" in shown
    assert "3 calls, 0.00" in shown


def test_a_batch_outlives_the_night(processes: Processes) -> None:
    shown = said(processes, "examples.overnight_batch")
    assert "Killing server and worker" in shown
    assert "sea: A made-up answer to: Why is the sea salt?" in shown
    assert "Paid 0.000033875 USD; as live calls 0.00006775 USD." in shown


def test_the_fake_provider_runs_as_a_process_and_tells_its_bill(processes: Processes) -> None:
    process = processes.start("provider", sys.executable, "-m", "stageline_sdk.ai.testing")
    process.wait_for_log("OPENROUTER_API_KEY=")
    assert "OPENAI_BASE_URL=http://127.0.0.1:" in process.log()
    assert process.terminate() == 0
    assert "charged 0 USD for 0 requests" in process.log()
