"""What all tables share: the names of constraints, the kinds of columns."""

from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Column, DateTime, MetaData, Text

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# Names compare by code points whatever the database's locale: a listing has one order everywhere, and it is faster.
Name = Text(collation="C")


def quoted(values: list[str]) -> str:
    """Values as SQL, in one order."""
    return ", ".join(f"'{value}'" for value in sorted(values))


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """The CHECK that a text column holds one of an enum's values."""
    return CheckConstraint(
        f"{column} IN ({quoted([value.value for value in values])})", name=f"{column}_known"
    )


def time_column(name: str, *, nullable: bool = False) -> Column[Any]:
    """A point in time."""
    return Column(name, DateTime(timezone=True), nullable=nullable)
