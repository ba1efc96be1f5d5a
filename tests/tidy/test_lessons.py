"""docs/lessons.md names tests; each one exists, and every lesson is there."""

import re

from tests.tidy.tree import python_files, read

PAGE = "docs/lessons.md"
LESSONS_COUNT = 47
WEAKNESSES_COUNT = 15


def defined_tests() -> set[str]:
    sources = [read(name) for name in python_files("tests", "engine/stageline_engine/testing")]
    return {name for source in sources for name in re.findall(r"def (test_\w+)\(", source)}


def test_every_test_that_a_lesson_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", read(PAGE)))
    assert named
    assert named - defined_tests() == set()


def test_every_lesson_is_there_with_a_test_or_a_word_why_not() -> None:
    page = read(PAGE)
    lessons = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^## )", page, re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _ in lessons] == list(range(1, LESSONS_COUNT + 1))
    weaknesses = re.findall(r"^- \*\*W(\d+)\*\* (.*?)(?=^- |^## )", page, re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _ in weaknesses] == list(range(1, WEAKNESSES_COUNT + 1))
    unproven = [
        number for number, text in lessons if "`test_" not in text and "**not built yet**" not in text
    ]
    assert unproven == ["45"]  # a trap of another language
    assert [number for number, text in weaknesses if "`test_" not in text] == []
