"""The example runs as its text says."""

import pytest

from examples import embedded


async def test_the_example_runs_in_memory(capsys: pytest.CaptureFixture[str]) -> None:
    result = await embedded.main()
    assert result.status == "COMPLETED"
    shown = capsys.readouterr().out
    assert "submit: ordered {'title': 'Quarterly figures'}" in shown
    assert "ready after 6 looks (1:00:00 of virtual time)" in shown


@pytest.mark.postgres
async def test_the_example_runs_on_a_database(create_database: object) -> None:
    result = await embedded.main(create_database())  # type: ignore[operator]
    assert result.output == "Quarterly figures: ready after 6 looks"
