"""Every scenario of the reference that concerns the kernel has a test that bears its number, or a reason why not."""

import re

from tests.tidy.tree import python_files, read

PAGE = "docs/lessons.md"
NAMED = re.compile(r"def test_11_(\d+)_(\d+)_\w+\(")
REQUIRED = {
    1: (1, 2, 4, 5, 7, 8, 10),
    2: (11, 13, 14, 16, 17, 19, 20, 22, 23),
    3: (25, 26, 28, 29, 31, 32, 34, 35),
    4: (37, 38, 40, 41, 43, 44, 46, 47, 49, 50, 52, 53, 55),
    5: (56, 58, 59, 61, 62, 64, 65),
    6: (67, 68, 70, 71, 73, 74, 76, 77, 79, 80),
    7: (82, 83, 85, 86, 88, 89, 91),
    10: (112, 113, 115, 116, 118, 119),
}
"""Sections of the reference with the numbers of their scenarios: definitions, creation, claims, data, failures, waits,
cancellation and reruns, events and what is recorded."""


def present() -> set[tuple[int, int]]:
    """Section and number of every scenario that a test names."""
    sources = [read(name) for name in python_files("tests", "engine/stageline_engine/testing")]
    return {(int(section), int(number)) for source in sources for section, number in NAMED.findall(source)}


def excused() -> set[int]:
    """Numbers of the scenarios that the page gives a reason for."""
    section = read(PAGE).partition("## Scenarios without a test")[2].partition("\n## ")[0]
    return {int(number) for number in re.findall(r"^- (\d+): \S.+", section, re.MULTILINE)}


def test_every_scenario_has_its_test_or_its_reason() -> None:
    tested = present()
    missing = [
        f"11.{section} {number}"
        for section, numbers in REQUIRED.items()
        for number in numbers
        if (section, number) not in tested and number not in excused()
    ]
    assert missing == []


def test_no_scenario_is_excused_that_has_its_test() -> None:
    """Once it is built and tested, take its line out of the page."""
    assert excused() & {number for _, number in present()} == set()


def test_every_number_is_of_its_section() -> None:
    """A wrong section or number would hide that the right one is missing; those of 8 and 9 are other parts' own."""
    known = {(section, number) for section, numbers in REQUIRED.items() for number in numbers}
    workers = {(7, number) for number in (92, 94, 95, 97, 98, 100)}
    others = {(section, number) for section, number in present() if section in {8, 9}}
    assert present() - known - workers - others == set()
