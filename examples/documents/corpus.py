"""Collects real documents that every checkout has, and those that the user names.

The project's own pages, and the licences and long descriptions of the packages that are installed with it.
"""

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from examples.documents.formats import BY_EXTENSION, word_count

PROJECT = Path(__file__).resolve().parents[2]
LICENCE_FILE = re.compile(r"^(licen[cs]e|copying|notice)\b.*", re.IGNORECASE)
LICENCE_EXTENSIONS = frozenset({"", ".txt", ".md", ".rst"})
# Shorter ones say too little to analyse.
WORDS_MIN = 30


def collect(work_dir: Path, project: Path = PROJECT) -> list[str]:
    """Collects the demo's own documents.

    Args:
        work_dir: Where the long descriptions are written, which packages keep inside a larger file.
        project: The checkout.

    Returns:
        File URLs, without duplicates, in a stable order.
    """
    files = [*project_pages(project), *package_descriptions(work_dir), *package_licences()]
    return [path.resolve().as_uri() for path in dict.fromkeys(files)]


def named(arguments: Iterable[str]) -> list[str]:
    """Turns what a user typed into URLs: a URL stays, a file becomes one, a folder every document in it.

    A path that does not exist becomes a URL too: its run fails, and says why.
    """
    urls: list[str] = []
    for argument in arguments:
        if re.match(r"^[A-Za-z][A-Za-z0-9+.-]+://", argument):
            urls.append(argument)
        elif (path := Path(argument).expanduser()).is_dir():
            urls += [found.absolute().as_uri() for found in _documents_in(path)]
        else:
            urls.append(path.absolute().as_uri())
    return list(dict.fromkeys(urls))


def project_pages(project: Path) -> list[Path]:
    """The Markdown and text at the top of the checkout, and everything in its docs."""
    top = (
        path
        for path in sorted(project.iterdir())
        if path.suffix.lower() in {".md", ".txt"} and path.is_file()
    )
    return [*top, *_documents_in(project / "docs"), *_documents_in(project / "protos", {".md"})]


def package_descriptions(work_dir: Path) -> Iterator[Path]:
    """Writes the long description of each installed package that has one, and yields the files."""
    work_dir.mkdir(parents=True, exist_ok=True)
    for name, distribution in _installed():
        metadata = distribution.metadata.json
        text = str(metadata.get("description", ""))
        if word_count(text) < WORDS_MIN:
            continue
        is_markdown = str(metadata.get("description_content_type", "")).startswith("text/markdown")
        path = work_dir / f"{name}.{'md' if is_markdown else 'txt'}"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="")
        yield path


def package_licences() -> Iterator[Path]:
    """The licence files of the installed packages; of several with the same text, the first."""
    seen: set[bytes] = set()
    for _, distribution in _installed():
        for entry in sorted(distribution.files or [], key=str):
            path = Path(str(distribution.locate_file(entry)))
            if ".dist-info" not in str(entry) or not LICENCE_FILE.match(path.name):
                continue
            if path.suffix.lower() not in LICENCE_EXTENSIONS or not path.is_file():
                continue
            content = path.read_bytes()
            if content not in seen and word_count(content.decode("utf-8", "replace")) >= WORDS_MIN:
                seen.add(content)
                yield path


def _installed() -> list[tuple[str, Distribution]]:
    """The installed packages by name, each once."""
    found = {str(distribution.metadata["Name"]): distribution for distribution in distributions()}
    return sorted((re.sub(r"[^\w.-]", "-", name), distribution) for name, distribution in found.items())


def _documents_in(folder: Path, extensions: Iterable[str] | None = None) -> list[Path]:
    wanted = set(extensions or (f".{extension}" for extension in BY_EXTENSION))
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in wanted)
    return sorted(
        path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
