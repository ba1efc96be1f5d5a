"""The analyses answer differently to different texts, as a person would."""

import functools
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from examples.documents import analysis
from examples.documents.analysis import KEYWORD_LANGUAGES, find_keywords, identify_language, score_sentiment

GERMAN = (
    "Die Bundesregierung hat gestern ein neues Gesetz beschlossen. Das Gesetz soll die Bahn schneller machen. "
    "Viele Menschen fahren jeden Tag mit der Bahn zur Arbeit, und die Züge sind oft verspätet."
)
ENGLISH = (
    "A control plane leases jobs to workers. Workers report results to the control plane. "
    "When a worker dies, the control plane gives its job to another worker."
)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love this library. It is wonderful, and it works great!", "positive"),
        ("The crash destroyed my data. I am angry, this is a horrible failure.", "negative"),
        ("The table has four legs. The chair is next to it.", "neutral"),
    ],
)
def test_sentiment_follows_the_text(text: str, label: str) -> None:
    found = score_sentiment(text)
    assert found.label == label
    assert found.sentence_count == 2
    assert -1 <= found.score <= 1


def test_a_long_text_is_not_extreme_for_being_long() -> None:
    once = score_sentiment("This is good. The table has four legs.")
    often = score_sentiment("This is good. The table has four legs. " * 200)
    assert often.score == pytest.approx(once.score)
    assert (often.positive_count, often.sentence_count) == (200, 400)


def test_a_negation_turns_the_sentiment() -> None:
    assert score_sentiment("This is not good.").score < 0 < score_sentiment("This is good.").score


@pytest.mark.parametrize(
    ("text", "code"), [(ENGLISH, "en"), (GERMAN, "de"), ("Où est la bibliothèque, s'il vous plaît ?", "fr")]
)
def test_languages_are_told_apart(text: str, code: str) -> None:
    found = identify_language(text)
    assert found.code == code
    assert 0.5 < found.confidence <= 1


def test_keywords_are_of_the_text_and_the_most_telling_first() -> None:
    keywords = find_keywords(ENGLISH, count=3)
    assert "control plane" in keywords
    assert len(keywords) == 3
    assert all(keyword.lower() in ENGLISH.lower() for keyword in keywords)


def test_common_words_of_the_language_are_no_keywords() -> None:
    words = {word.lower() for keyword in find_keywords(GERMAN, count=10) for word in keyword.split()}
    assert {"bundesregierung", "gesetz"} & words
    assert not {"die", "der", "und", "das", "mit"} & words


def test_the_keyword_library_knows_the_languages_that_we_say_it_does() -> None:
    # A language that it does not know ends the library in a panic, which no `except Exception` catches.
    program = "import sys, yake_rust; [yake_rust.Yake(language=code) for code in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", program, *sorted(KEYWORD_LANGUAGES)], check=True, timeout=30)


@pytest.mark.parametrize("text", ["", " ", "1", "?!", "\u4e00", "word"])
def test_next_to_nothing_is_analysed_too(text: str) -> None:
    assert score_sentiment(text).label == "neutral"
    assert len(find_keywords(text, count=5)) <= 1
    assert identify_language(text).code


def test_many_threads_load_a_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    def load() -> object:
        loads.append(threading.get_ident())
        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    monkeypatch.setattr(analysis, "_load_language_identifier", functools.cache(load))
    with ThreadPoolExecutor(8) as pool:
        assert {found.code for found in pool.map(identify_language, [ENGLISH] * 8)} == {"en"}
    assert len(loads) == 1
