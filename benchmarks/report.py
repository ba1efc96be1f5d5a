"""What a benchmark run found, as a table for people and as JSON for programs."""

import json
import os
import platform
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table

from benchmarks.samples import Sample


@dataclass
class Report:
    """Everything that was measured.

    Attributes:
        setting: What was run, and on what.
        samples: Quantities by name; the unit is the name's last part.
    """

    setting: dict[str, str | int | float]
    samples: dict[str, Sample] = field(default_factory=dict)

    def as_json(self) -> str:
        """One JSON object, stable enough to be compared with an earlier one."""
        return json.dumps(asdict(self), indent=2)

    def show(self, console: Console) -> None:
        """Prints the table."""
        setting = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.setting.items())
        table = Table("quantity", "median", "least", "greatest", title="Stageline benchmark", caption=setting)
        for column in table.columns[1:]:
            column.justify = "right"
        for name, sample in self.samples.items():
            table.add_row(_title(name), *map(_number, (sample.median, sample.least, sample.greatest)))
        console.print(table)


def machine() -> dict[str, str | int | float]:
    """What of the machine matters for ratios, and nothing that names it."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }


def _title(name: str) -> str:
    return name.replace("__", " / ").replace("_", " ")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 1 else f"{value:.4f}"
