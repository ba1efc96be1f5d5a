"""`stageline models list`: keys, prices, and whether there is a key."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from stageline_cli.exit_codes import ExitCode
from stageline_cli.group import stageline

MODULE = """
from decimal import Decimal
from stageline_sdk import Context, NoInput, Worker, Workflow, stage
from stageline_sdk.ai import AiModel, ModelPrices, ModelRegistry

@stage("nothing")
def nothing(ctx: Context[NoInput]) -> None: ...

models = ModelRegistry(
    [
        AiModel(
            key="house", provider="openai-compatible", base_url="http://gpu/v1",
            prices=ModelPrices(input=Decimal("0.125"), output=Decimal(1)),
        ),
        AiModel(key="unheard-of", provider="openai"),
    ],
    with_default_models=False,
)
worker = Worker(Workflow("w", input=NoInput).pipe(nothing).build(), models=models)
number = 1
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "module_with_models.py").write_text(MODULE)
    monkeypatch.delitem(sys.modules, "module_with_models", raising=False)
    return "module_with_models"


def listed(*arguments: str) -> str:
    result = CliRunner().invoke(stageline, ["models", "list", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_models_that_every_worker_has_are_listed_with_their_prices(module: str) -> None:
    found = {each["key"]: each for each in json.loads(listed("--json"))}
    mini = found["gpt-5-mini"]
    assert (mini["input_usd_per_million"], mini["cached_input_usd_per_million"]) == ("0.25", "0.025")
    assert (mini["output_usd_per_million"], mini["batch_discount"], mini["is_ready"]) == ("2", "0.5", False)
    assert list(found) == sorted(found)


@pytest.mark.parametrize("attribute", ["models", "worker"])
def test_the_models_of_a_registry_or_a_worker_are_listed(module: str, attribute: str) -> None:
    house, unheard = (line.split() for line in listed(f"{module}:{attribute}").splitlines()[3:5])
    assert house == ["house", "openai-compatible", "text", "0.125", "?", "1.00", "-", "yes"]
    assert unheard == ["unheard-of", "openai", "text", "?", "?", "?", "?", "no", "key"]


def test_filters_and_keys_of_the_environment(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    found = json.loads(listed(f"{module}:models", "--batches", "--json"))
    assert [(each["key"], each["is_ready"]) for each in found] == [("unheard-of", True)]
    embeddings = json.loads(listed("--embeddings", "--json"))
    assert {each["is_embedding"] for each in embeddings} == {True}


def test_what_is_no_registry_is_told(module: str) -> None:
    result = CliRunner().invoke(stageline, ["models", "list", f"{module}:number"])
    assert result.exit_code == ExitCode.USAGE
    assert "neither a stageline_sdk.ai.ModelRegistry nor a Worker but a int" in result.output
