"""Sentiment, keywords and language of a text, by small libraries that carry their models with them."""

import re
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, Literal

from py3langid.langid import MODEL_FILE, LanguageIdentifier
from vader import SentimentIntensityAnalyzer
from yake_rust import Yake

SentimentLabel = Literal["positive", "neutral", "negative"]

# The bounds that VADER's authors recommend for its score.
NEUTRAL_BOUND = 0.05
# Languages tell themselves in a few thousand letters; more only costs time.
LANGUAGE_SAMPLE_CHARACTERS = 20_000
KEYWORD_WORDS_MAX = 2
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
# Those whose common words the keyword library knows, and so leaves out.
KEYWORD_LANGUAGES = frozenset(
    {"ar", "bg", "br", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "hi", "hr", "hu", "hy", "id"}
    | {"it", "ja", "lt", "lv", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sv", "tr", "uk", "zh"}
)

# Stages run in threads, and the first ones all at once: each model is loaded by one of them, the others wait.
_loading = Lock()


@dataclass(frozen=True)
class SentimentScore:
    """How a text sounds.

    Attributes:
        label: The verdict.
        score: The mean over its sentences, from -1 (negative) to 1 (positive).
        positive_count: Sentences that sound positive.
        negative_count: Sentences that sound negative.
        sentence_count: All sentences.
    """

    label: SentimentLabel
    score: float
    positive_count: int
    negative_count: int
    sentence_count: int


def score_sentiment(text: str) -> SentimentScore:
    """Scores a text sentence by sentence: the lexicon is made for sentences, and is English.

    Scored whole, a long text would always come out as extreme.
    """
    analyzer = _sentiment_analyzer()
    sentences = [sentence for sentence in SENTENCE_END.split(text) if sentence.strip()]
    scores = [float(analyzer.polarity_scores(sentence)["compound"]) for sentence in sentences]
    mean = sum(scores) / len(scores) if scores else 0.0
    return SentimentScore(
        label=_label(mean),
        score=round(mean, 4),
        positive_count=sum(_label(score) == "positive" for score in scores),
        negative_count=sum(_label(score) == "negative" for score in scores),
        sentence_count=len(scores),
    )


def find_keywords(text: str, *, count: int) -> list[str]:
    """Finds the words and pairs of words that a text is about, the most telling first."""
    code = identify_language(text).code
    known = {"language": code} if code in KEYWORD_LANGUAGES else {"stopwords": set[str]()}
    extractor = Yake(ngrams=KEYWORD_WORDS_MAX, **known)
    return [keyword for keyword, _ in extractor.get_n_best(text, n=count)]


@dataclass(frozen=True)
class IdentifiedLanguage:
    """The language of a text.

    Attributes:
        code: Its ISO 639 code, such as `en`.
        confidence: From 0 to 1.
    """

    code: str
    confidence: float


def identify_language(text: str) -> IdentifiedLanguage:
    """Finds the main language of a text, of the 140 that the model knows."""
    code, confidence = _language_identifier().classify(text[:LANGUAGE_SAMPLE_CHARACTERS])
    return IdentifiedLanguage(str(code), round(float(confidence), 4))


def _label(score: float) -> SentimentLabel:
    if score >= NEUTRAL_BOUND:
        return "positive"
    return "negative" if score <= -NEUTRAL_BOUND else "neutral"


def _sentiment_analyzer() -> SentimentIntensityAnalyzer:
    with _loading:
        return _load_sentiment_analyzer()


def _language_identifier() -> Any:
    with _loading:
        return _load_language_identifier()


@cache
def _load_sentiment_analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()


@cache
def _load_language_identifier() -> Any:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
