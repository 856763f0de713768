"""The commands that a text tells its reader to paste."""

from __future__ import annotations

import re
from typing import Final

_TRY: Final = re.compile(r"^\s*(?:try:|→|next:)\s*(headwater\b.*)$", re.MULTILINE)
_DID_YOU_MEAN: Final = re.compile(r"did you mean (headwater [^?\n]+)\?")
_QUOTED: Final = re.compile(r"`(headwater [^`\n]+)`")
_BEGINS: Final = re.compile(r"(?:^|(?<=[\s:]))headwater (?=[a-z])")
_WORD: Final = re.compile(r"'[^']*'|[^\s']+")
_HOLE: Final = re.compile(r"\b[A-Z][A-Z_]{2,}\b|…|<[a-z ]+>")


def hints_in(text: str) -> list[str]:
    """Every line that begins with a command behind `try:`, every command that was probably meant, everything in backquotes
    that is a command of ours; once each, in order. What explains a command stands behind a `#`, so all of it may be pasted."""
    found = [*_TRY.findall(text), *_DID_YOU_MEAN.findall(text), *_QUOTED.findall(text)]
    return list(dict.fromkeys(hint.strip() for hint in found))


def in_sentences(text: str) -> list[str]:
    """Commands within the sentences of a remedy, as alerts have them: up to where the sentence ends."""
    found: list[str] = []
    for begin in _BEGINS.finditer(text):
        words: list[str] = []
        for word in _WORD.findall(text[begin.start() :]):
            words.append(word.rstrip(".,;:") if word != "'" else word)
            if word[-1] in ".,;:":
                break
        found.append(" ".join(filter(None, words)))
    return list(dict.fromkeys(found))


def has_a_hole(hint: str) -> bool:
    """Whether the reader has to put something in first: NAME, …, <name>. Quoted names are no holes."""
    return _HOLE.search(re.sub(r"'[^']*'", "", hint)) is not None
