"""Checks of one text or one row for damage that reading cannot notice: the JSON is valid, the words are not.

    "cafÃ© â€“ ouvert"            mojibake: UTF-8 that was decoded as cp1252
    "Tom &amp; Jerry<br>"        HTML that was not converted to text
    "```python\\nprint(1"         an answer that ends inside its fence

The checks are conservative: what a sound row may hold (HTML in a row about HTML, a translation) is not reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hrm_align.data.latex_damage import lost_commands

if TYPE_CHECKING:
    from hrm_align.data.examples import Example

# Kinds of damage by name, in the order of reports, each as it follows `3 of 40 rows have`.
KINDS = {
    "lost_backslash": "LaTeX commands whose backslash JSON read as an escape",
    "control_character": "control characters",
    "mojibake": "UTF-8 that was decoded as another encoding",
    "replacement_character": "replacement characters (U+FFFD) where bytes were lost",
    "html": "HTML entities or tags outside of code",
    "cut": "an answer that ends in the middle",
    "other_script": "an answer in another script than the prompt",
}
SHOWN = 24  # characters around a place that a report shows

_CONTROL = re.compile("[\0-\x06\x07\b\v\x0e-\x1f\x7f]")
# A byte 0x80 to 0xBF as cp1252 or Latin-1 decodes it.
_BYTE = "[\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
_MOJIBAKE = re.compile(
    f"(?<![A-ZÀ-Þ])[ÂÃ][\x80-\xbf]|Ã[‚ƒ„†‡ˆ‰Š‹ŒŽœšžŸ•˜]|[\xc2-\xf4][\x80-\x9f]|[\xe2\xef]{_BYTE}{{2}}|(?:[ÐÑ]{_BYTE}){{3,}}"
    f"|(?:[ãäåæçèé]{_BYTE}{{2}}){{2,}}|ðŸ{_BYTE}{{2}}"
)
_MAYBE_MOJIBAKE = re.compile(f"[\xc2-\xf4]{_BYTE}")
_HTML = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|[lr]dquo|[lr]squo|hellip|mdash|ndash|#\d{2,5}|#x[0-9a-fA-F]{2,5});"
    r"|<br ?/?>|</(?:p|div|span|font|td|tr|table|ul|ol|li|strong|em|h[1-6]|a|blockquote)>",
    re.IGNORECASE,
)
_CODE = re.compile(r"^```.*?(?:^```|\Z)|`[^`\n]*`|^(?: {4}|\t).*$", re.DOTALL | re.MULTILINE)
_MARKUP = re.compile(r"html|xml|<svg|markup|jsx|markdown|entit", re.IGNORECASE)  # a row about markup
_FENCE = re.compile(r"^ {0,3}```", re.MULTILINE)
_SCRIPTS = {
    "Latin": "A-Za-zÀ-ɏ", "Greek": "Ͱ-Ͽ", "Cyrillic": "Ѐ-ӿ", "Hebrew": "֐-׿", "Arabic": "؀-ۿ", "Devanagari": "ऀ-ॿ",
    "Thai": "ก-๛", "Hangul": "가-힣", "Chinese or Japanese": "぀-ヿ㐀-䶿一-鿿",
}  # fmt: skip
_NOT_LATIN = re.compile("[Ͱ-๛぀-鿿가-힣]")
_SCRIPT = re.compile("|".join(f"([{letters}]+)" for letters in _SCRIPTS.values()))
# Words of a prompt that ask for an answer in another language, or for something that is no language.
_ASKS_LANGUAGE = re.compile(
    r"translat|language|transliterat|english|chinese|mandarin|japanese|korean|russian|ukrainian|arabic|hebrew|greek|hindi|thai"
    r"|roman|latin|pinyin|перев|англ|翻译|译|英|번역|영어|訳|अनुवाद|अंग्रेज|ترجم|الإنجليزية|תרגם|אנגלית|μετάφρα|αγγλικ|แปล|อังกฤษ|code|python|代码|код|コード|코드",
    re.IGNORECASE,
)
LEAST_LETTERS, MAIN_SHARE = 24, 0.85  # of a text in one script
LOOKED_AT = 1000  # characters of a text whose script is counted


def find_damage(examples: Sequence[Example]) -> dict[str, str]:
    """Find the damage of one row.

    Args:
        examples: the examples of the row, one for each trained answer, the longest conversation last.

    Returns:
        By kind of damage (a key of `KINDS`) what was found and where, in a few words; empty for a sound row.
    """
    last = examples[-1]
    damage: dict[str, str] = {}
    texts = [*_texts(last)]
    for text in texts:
        for kind, detail in _check_text(text):
            damage.setdefault(kind, detail)
    if "html" in damage and any(_MARKUP.search(text) for text in texts):
        del damage["html"]
    for example in examples:
        for answer in (example.answer, example.rejected):
            if answer is not None and (end := _cut(answer.content)):
                damage.setdefault("cut", end)
    if scripts := _other_script(last):
        damage["other_script"] = scripts
    return damage


def _texts(example: Example) -> Iterator[str]:
    """Yield every text of a row: messages, arguments of tool calls, and the data for the grader."""
    for message in (*example.messages, example.answer, *([example.rejected] if example.rejected else ())):
        yield message.content
        if message.tool_calls:
            yield from _strings(message.tool_calls)
    if example.grading:
        yield from _strings(example.grading)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _strings(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _strings(entry)


def _check_text(text: str) -> Iterator[tuple[str, str]]:
    lost = lost_commands(text)
    if lost:
        yield "lost_backslash", ", ".join(lost)
    elif not text.replace("\n", " ").isprintable() and (control := _CONTROL.search(text)):
        yield "control_character", f"U+{ord(control[0]):04X} in {_around(text, control)}"
    if not text.isascii():
        if _MAYBE_MOJIBAKE.search(text) and (mojibake := _MOJIBAKE.search(text)):
            yield "mojibake", _around(text, mojibake)
        if "\ufffd" in text:
            yield "replacement_character", _around(text, re.search("\ufffd", text))
    if ("&" in text or "</" in text or "<br" in text) and _HTML.search(text):
        html = _HTML.search(_CODE.sub("", text))
        if html:
            yield "html", repr(html[0])


def _around(text: str, match: re.Match[str] | None) -> str:
    assert match is not None
    return repr(text[max(match.start() - SHOWN // 2, 0) : match.end() + SHOWN // 2])


def _cut(answer: str) -> str | None:
    """Return how an answer ends in the middle: in a fence, in a box or in a JSON value; None for a whole answer."""
    if "```" in answer and len(_FENCE.findall(answer)) % 2:
        return "a fence ``` is not closed"
    start = answer.rfind("\\boxed{")
    if start >= 0 and answer.count("{", start) > answer.count("}", start):
        return "\\boxed{ is not closed"
    opened = answer.lstrip()[:2]
    if opened[:1] == "{" and opened.rstrip()[1:] in ("", '"'):
        end = answer.rstrip()[-1:]
        if end not in "}]" and answer.count("{") > answer.count("}"):
            return "a JSON value is not closed"
    return None


def _other_script(example: Example) -> str | None:
    """Return the scripts of answer and prompt if they differ and the prompt asks for no other language."""
    asked = next((m.content for m in reversed(example.messages) if m.role == "user"), "")
    answer = example.answer.content
    if not any(not text.isascii() and _NOT_LATIN.search(text) for text in (asked, answer)):
        return None
    scripts = _main_script(asked), _main_script(answer)
    if None in scripts or scripts[0] == scripts[1]:
        return None
    if any(_ASKS_LANGUAGE.search(m.content) for m in example.messages if m.role in ("user", "system")):
        return None
    return f"the answer is in {scripts[1]}, the prompt in {scripts[0]}"


def _main_script(text: str) -> str | None:
    """Return the script of most letters of a text; None for a text with few letters or in several scripts."""
    counts = dict.fromkeys(_SCRIPTS, 0)
    names = [*_SCRIPTS]
    for match in _SCRIPT.finditer(text[:LOOKED_AT]):
        assert match.lastindex is not None
        counts[names[match.lastindex - 1]] += len(match[0])
    script = max(names, key=lambda name: counts[name])
    total = sum(counts.values())
    wide = script not in ("Latin", "Greek", "Cyrillic")  # a letter of these scripts says more
    return script if total >= LEAST_LETTERS // (3 if wide else 1) and counts[script] >= MAIN_SHARE * total else None
