"""docs/worker-protocol.md and the conformance suite say the same: every rule has a case, every case a rule."""

import re
from collections import Counter

from stageline_conformance import select
from tests.tidy.tree import read

RULE = re.compile(r"^- \*\*(R\d+)\*\* (.*?)(?=^- \*\*R|^## )", re.MULTILINE | re.DOTALL)
RULES = dict(RULE.findall(read("docs/worker-protocol.md")))
CASES_MIN = 60


def test_every_rule_is_numbered_once_and_in_order() -> None:
    numbers = [int(number[1:]) for number, _ in RULE.findall(read("docs/worker-protocol.md"))]
    assert numbers == sorted(set(numbers))


def test_every_case_cites_rules_that_exist() -> None:
    assert {rule for case in select(()) for rule in case.rules} - RULES.keys() == set()
    assert [case.name for case in select(()) if not case.rules] == []


def test_every_rule_has_a_case_or_is_marked_as_unseen() -> None:
    cited = {rule for case in select(()) for rule in case.rules if not case.needs_stage}
    unseen = {rule for rule, text in RULES.items() if "◦" in text}
    assert RULES.keys() - cited == unseen - cited
    assert unseen & cited == set()


def test_there_are_enough_cases_and_each_has_a_name_of_its_own() -> None:
    names = Counter(case.name for case in select(()))
    assert len(names) >= CASES_MIN
    assert [name for name, count in names.items() if count > 1] == []
