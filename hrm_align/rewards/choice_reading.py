r"""Find the choice that a text makes among the options of a multiple-choice question.

    read_choice("It is not A. I would go with (C).", [("A", "Paris"), ("B", "Lyon"), ("C", "Nice")])  ->  2

A choice is a label or the text of an option: `C`, `(C)`, `C.`, `c)`, `option C`, `Nice`, `C: Nice`. Small letters are labels
only alone, in parentheses, or after `option`; A, I and numbers are no labels where a word follows, as in `A place`. The text
that decides is

    1. the match of the option `pattern` of the grader, if it is set
    2. the value of `answer`, `choice` or `option` in a JSON object (found as by the grader `json`)
    3. the last box, or the text after the last marker (`hrm_align.rewards.reading`), if it names an option; `the correct
       option is`, `the answer should be` and their like are markers here
    4. what the last line states after `so`, if it names an option
    5. the whole text, if it names one option only; or else a last line that is a choice, or else the last statement such as
       `I choose C` or `C is correct`, unless the first line is another choice

An option that the text rejects is not named: `not C`, `rather than C`, `C is wrong`, and every option in a clause with such a
word. What follows `because` gives a reason. A text that names several options, such as `A or B` or a label with the text of
another option, makes no choice. A stated choice that the text then rejects does not count, and a correction decides. Everything
here takes time linear in the length of the text.
"""

from __future__ import annotations

import re
from functools import lru_cache

from hrm_align.data.strict_json import parse_value
from hrm_align.rewards.reading import plain_text, read_answer, read_json, stated_answer, text_after_answer

TEXT_CHARACTERS = 50_000  # of a text without a marker, its last ones; of a text after a statement, its first ones
LINE_CHARACTERS = 200  # longest line that is nothing but a choice, with its options as one character each

Options = tuple[tuple[str, str], ...]  # label and text of each; the text may be empty

# Mentions of options become private characters, so that what stands around them can be matched: a label of option n is
# U+E000 + n, and a text of option n is U+E100 + n.
_LABEL, _TEXT = 0xE000, 0xE100
_PRIVATE = re.compile("[\ue000-\uf8ff]")
P, T = "[\ue000-\ue1ff]", "[\ue100-\ue1ff]"

_JSON_KEYS = ("answer", "choice", "option", "final_answer", "correct_answer", "correct_option")
_LATEX = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|rm|bf)\s*\{([^{}]*)\}")
_MARKUP = re.compile(r"\$|\\[()\[\]]|`|~~[^~\n]*~~|\\[,;! ]")
_KIND = r"(?:answer|option|choice|alternative|letter|response|solution|selection|pick)"
_OTHER_MARKER = re.compile(
    r"\b((?:correct|right|best|final|chosen|my|appropriate|suitable|valid|true)\s+)"
    + _KIND
    + r"(?=\s*(?:is\b|[:：=]))",
    re.IGNORECASE,
)
_IS = re.compile(
    r"\b(answer)(?:\s+(?:here|to\s+(?:this|the)\s+question))?\s+(?:would|should|must|will|has\s+to|can\s+only|seems?\s+to|appears?\s+to)\s+be\b"
    r"|\b(answer)\s*(?:->|=>|→|⇒|-|–|—)(?=\s*\W?\w\b)",
    re.IGNORECASE,
)
_NOT_STATED = re.compile(  # `the wrong answer is`, `I don't think the answer is`
    r"((?:\bnot|n['’]t|\bdoubt|\bnever|\bnor)\b[^.,;:\n]{0,30}?\b)answer(?:(?=\s+(?:is|was)\b)|\s*:)"
    r"|\b((?:wrong|incorrect|false|worst|bad|not\s+(?:the|an?)(?:\s+\w+)?)\s+)(?:answer|option|choice)s?\b(?:\s*:)?",
    re.IGNORECASE,
)

_REJECTED = re.compile(
    r"\b(?:not|rather\s+than|instead\s+of|unlike|as\s+opposed\s+to|other\s+than|except(?:\s+for)?|excluding|(?:any|every)thing\s+but|all\s+but)"
    r"\s+(?:(?:the|option|options|choice|answer|letter)\s+){0,2}\W?"
    + P
    + rf"(?:\W{{1,3}}(?:(?:or|and|nor)\W{{1,3}})?{P})*",
    re.IGNORECASE,
)
_QUESTIONED = re.compile(rf"{P}\W{{0,2}}\?\s*(?:no|nope|not)\b", re.IGNORECASE)
_LABEL_AND_TEXT = re.compile("([\ue000-\ue0ff])[.]([ \t]+)([\ue100-\ue1ff])")
_CLAUSE_END = re.compile(
    r"[.!?](?=\s|$)|[\n;,—–]|:(?=\s)|\s-\s|\b(?:but|so|while|whereas|although|though|yet)\b", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")
_NEGATIVE = re.compile(
    r"\b(?:not|never|neither|nor|none|cannot|no(?!\s+doubt)|wrong|incorrect\w*|false\w*|untrue|invalid|inaccurate|unlikely|implausible"
    r"|rul(?:e|es|ed|ing)\s+\w*\s*out|eliminat\w+|exclud\w+|reject\w*|discard\w*|dismiss\w*|avoid\w*|cross(?:ed)?\s+out|distractor|trap"
    r"|tempting|(?<!no )(?<!without )doubt\w*|mistaken\w*|fails?)\b|n['’]t\b|❌|✗|✘",
    re.IGNORECASE,
)
_REASON = re.compile(r"\b(?:because|since|given\s+that|due\s+to)\b", re.IGNORECASE)
_HEDGE = re.compile(r"\b(?:could|might|may|maybe|perhaps|possibly|alternatively|either|or|both)\b", re.IGNORECASE)
_STATED = re.compile(
    r"\b(?:choose|chose|choosing|select|pick|go(?:ing)?\s+with|opt\s+for|vote\s+for|conclude(?:\s+that)?|leaves(?:\s+us\s+with)?|left\s+with"
    r"|is|it['’]s|that['’]s|be|only|answer|answered|therefore|thus|hence|so)[\s:,]+(?:(?:the|clearly|definitely|therefore|thus|option|choice|answer|letter|"
    rf"most|correct|right|best)\s+){{0,3}}\W{{0,2}}(?P<after>{P})"
    rf"|(?P<before>{P})\W{{0,2}}\s+(?:is|seems|appears|must\s+be|would\s+be|looks|fits|works)\s+(?:\w+\s+){{0,3}}?"
    r"(?:correct|right|best|true|answer|one|choice|option|appropriate|accurate|fitting)\b",
    re.IGNORECASE,
)
_LISTED_BEFORE = re.compile(rf"{P}\W*(?:(?:or|and|nor)\W+)?(?:(?:option|choice|answer)\W+)?\Z", re.IGNORECASE)
_LISTED_AFTER = re.compile(rf"\W*(?:(?:or|and|nor)\W+)?(?:(?:option|choice|answer)\W+)?{P}", re.IGNORECASE)
_WORD_OR_CHOICE = re.compile(rf"\w+|{P}")
_CORRECTION = re.compile(
    r"\b(?:wait|actually|correction|scratch\s+that|sorry|oops|second\s+thought|hmm|i\s+meant|my\s+mistake|let\s+me\s+re\w+)\b"
    r"|(?:^|[.!?]\s+)no\b(?=[,.!]|\s+it)",
    re.IGNORECASE,
)
_ADDED = re.compile(
    r"[\s.,;:()/&|-]*(?:or|and|alternatively|maybe|perhaps|possibly|also|so|thus|hence|therefore|it\s+(?:could|might|may))\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\W*(?:(?:is|was|would\s+be)(?:\s+\w+)?\s+(?:not|wrong|incorrect|false)\b|(?:isn|wasn)['’]t\b)", re.IGNORECASE
)
_ADDED_TEXT = re.compile(rf"[\s.,;:)\]*–—-]*(?:\(?)({T})\W*(?:$|\n)")


def read_choice(text: str, options: Options, pattern: str | None = None) -> int | None:
    """Return the index of the option that a text chooses, by the rules of this module; None if it chooses none or several.

    Args:
        text: the whole completion or reference.
        options: label and text of each option; texts may be empty.
        pattern: regular expression with one group, which contains the choice.
    """
    if pattern is not None:
        return _only(_named(_marked_options(read_answer(text, pattern).answer or "", options)))
    if (value := _json_answer(text)) is not None:
        return _only(_named(_marked_options(value[:TEXT_CHARACTERS], options)))
    text = _clean(plain_text(text))
    text = _OTHER_MARKER.sub(r"\1answer", _NOT_STATED.sub(r"\1\2one ", text))
    text = _IS.sub(lambda match: f"{match[1] or match[2]} is", text)
    stated = stated_answer(text)
    if stated is not None:
        if stated.answer is None or len(stated.answer) > TEXT_CHARACTERS:
            return None
        marked = _marked_options(stated.answer, options)
        if re.search(P, marked):
            return _unless_corrected(_only(_named(marked)), text_after_answer(text)[:TEXT_CHARACTERS], options)
    reading = read_answer(text)
    if reading.rule == "last line":
        marked = _marked_options((reading.answer or "")[:TEXT_CHARACTERS], options)
        if re.search(P, marked):
            return _only(_named(marked))
    return _read_whole(_marked_options(text[-TEXT_CHARACTERS:], options))


def _json_answer(text: str) -> str | None:
    """Return the only value of `answer`, `choice` or `option` in the JSON object of a text; None without one."""
    try:
        value = parse_value(read_json(text).encode("utf-8", "surrogatepass"))
    except ValueError:
        return None
    values = [value[key] for key in value if key.lower() in _JSON_KEYS] if isinstance(value, dict) else []
    return _PRIVATE.sub("", str(values[0])) if len(values) == 1 else None


def _clean(text: str) -> str:
    return _MARKUP.sub(" ", _LATEX.sub(r"\1", _PRIVATE.sub("", text)))


def _unless_corrected(chosen: int | None, rest: str, options: Options) -> int | None:
    """Return a stated choice, unless the text after it adds or prefers another option, or rejects the stated one."""
    if chosen is None or _DENIED.match(rest):
        return None
    marked = _marked_options(rest, options)
    text = _ADDED_TEXT.match(marked)
    if text and _index(text[1]) != chosen:
        return None
    first, named = _SENTENCE_END.split(marked.lstrip(" .\n"), maxsplit=1)[0], _named(marked)
    if _ADDED.match(first) and _named(first) - {chosen}:
        return None
    if _CORRECTION.search(marked) and re.search(P, marked):
        return _only(named)
    return chosen


def _read_whole(marked: str) -> int | None:
    named = _named(marked)
    if len(named) < 2:
        return _only(named)
    lines = ["", *(line for line in marked.split("\n") if line.strip()), ""]
    ends = (lines[1], lines[2], lines[-3], lines[-2])
    first, second, before, last = (_only(_named(line)) if _is_choice_line(line) else None for line in ends)
    if last is not None and before is None:  # two such lines are a list of options
        return last
    stated = _stated_options(marked)
    if len({*stated}) > 1 and not _CORRECTION.search(marked):
        return None
    if first is not None and second is None:
        added = _named(lines[2]) - {first} if _ADDED.match(lines[2]) else ()
        return first if {*stated} <= {first} and not added else None
    hedged = {
        index for sentence in _SENTENCE_END.split(marked) if _HEDGE.search(sentence) for index in _named(sentence)
    }
    return stated[-1] if stated and not hedged - {stated[-1]} else None


def _is_choice_line(line: str) -> bool:
    """Return whether a line is nothing but a choice: `option C`, or `C. Nice`."""
    words = _WORD_OR_CHOICE.findall(line[:LINE_CHARACTERS])
    words = words[words[:1] in (["option"], ["Option"], ["choice"], ["Choice"]) :]
    return len(line) < LINE_CHARACTERS and 1 <= len(words) <= 2 and all(re.match(P, word) for word in words)


def _stated_options(marked: str) -> list[int]:
    """Return the options of all statements such as `I choose C` and `C is correct`, in their order."""
    stated = []
    for sentence in _SENTENCE_END.split(marked):
        matches = [] if _HEDGE.search(sentence) else [*_STATED.finditer(sentence)]
        named = _named(sentence) if matches else set()
        for match in matches:
            group = "after" if match["after"] else "before"
            listed = _LISTED_BEFORE.search(sentence[max(0, match.start(group) - 30) : match.start(group)])
            if not listed and not _LISTED_AFTER.match(sentence, match.end(group)) and _index(match[group]) in named:
                stated.append(_index(match[group]))
    return stated


def _only(named: set[int]) -> int | None:
    return next(iter(named)) if len(named) == 1 else None


def _index(mention: str) -> int:
    return (ord(mention) - _LABEL) % (_TEXT - _LABEL)


def _named(marked: str) -> set[int]:
    """Return the options that a text with marked mentions names, without those that the same sentence rejects."""
    named: set[int] = set()
    for sentence in _SENTENCE_END.split(marked):
        first = re.search(P, sentence)
        if first is None:
            continue
        reason = _REASON.search(sentence, first.end())
        claim = sentence[: reason.start()] if reason else sentence
        rejected = {_index(mention) for match in _REJECTED.finditer(claim) for mention in re.findall(P, match[0])}
        clauses = [clause for clause in _CLAUSE_END.split(_REJECTED.sub(" ", claim)) if clause]
        claimed = [clause for clause in clauses if not _NEGATIVE.search(clause)]
        named |= {_index(mention) for clause in claimed for mention in re.findall(P, clause)} - rejected
    return named


# --- Mentions of options


def _marked_options(text: str, options: Options) -> str:
    """Replace every mention of an option by its private character."""
    texts, labels = _patterns(options)
    whole = _ALONE.fullmatch(text.strip()) if len(text) < LINE_CHARACTERS else None
    if whole and whole["label"].casefold() in labels:
        return chr(_LABEL + labels[whole["label"].casefold()])
    if texts is not None:
        text = texts.sub(lambda match: chr(_TEXT + int((match.lastgroup or "o0")[1:])), text)

    def mark(match: re.Match[str]) -> str:
        label = match[match.lastgroup or 0]
        index = labels.get(label.casefold())
        if (
            index is None
            or (match["capital"] and _NAMED_THING.search(text, max(0, match.start() - 12), match.start()))
            or (not match["enclosed"] and _is_word(label, match))
        ):
            return match[0]
        return match[0].replace(label, chr(_LABEL + index)) if match["enclosed"] else chr(_LABEL + index)

    marked = _QUESTIONED.sub(" ", _MENTION.sub(mark, text))
    # The period of `C. Nice` ends no sentence.
    return _LABEL_AND_TEXT.sub(lambda m: f"{m[1]}{m[2]}{m[3]}" if _index(m[1]) == _index(m[3]) else m[0], marked)


_AROUND = r"(?:[^\w+#^&°~]|_)*"
_ALONE = re.compile(
    rf"{_AROUND}(?:(?:option|choice|answer|letter)\s*{_AROUND})?(?P<label>[A-Za-z]|\d{{1,2}}){_AROUND}", re.IGNORECASE
)
_NAMED_THING = re.compile(
    r"(?i:vitamin|hepatitis|plan|type|class|grade|group|section|point|figure|table|phase|part|appendix|schedule|team) \Z"
)
_MENTION = re.compile(
    r"(?:(?i:option|choice|answer|letter|alternative)\s+[(\[\"'“*_]{0,2}(?P<after>[A-Za-z]|\d{1,2})(?![^\W_])[)\]\"'”*_]{0,2})"
    r"|(?<![^\W_])[(\[{](?P<enclosed>[A-Za-z]|\d{1,2})[)\]}]"
    r"|(?<![^\W_])(?<![°'’&])(?<![A-Za-z]\.)(?<!\d )(?P<capital>[A-Z])(?![^\W_])(?!\.[A-Za-z]|['’][A-Za-z]|\+(?![A-Z])|[#^&])"
    r"|(?<![^\W_])(?P<small>[a-z])(?=\)(?:\s|$))"
    r"|(?<![^\W_])(?<![-−+*/^=.,])(?<![=+*/] )(?P<number>\d{1,2})(?![^\W_])(?![.,]\d|\s*[-−+*/^]\s*\d|\s*[=%°])"
)
_ARTICLE_FOLLOWS = re.compile(
    r"\s+(?!(?:is|or|and|as|because|since|was|would|seems|must|looks|fits|works|for|over|but|with|not|isn['’]t)\b)[a-z]"
)


def _is_word(label: str, match: re.Match[str]) -> bool:
    """Return whether a label is the article A, the pronoun I, or a number with a unit."""
    following = match.string[match.end() : match.end() + 20]
    return (label in "AaIi" or label.isdecimal()) and bool(
        _ARTICLE_FOLLOWS.match(following) or following.startswith(("'", "’"))
    )


@lru_cache(maxsize=256)
def _patterns(options: Options) -> tuple[re.Pattern[str] | None, dict[str, int]]:
    """Return the pattern of all texts (group `o3` for option 3; None without texts), and label -> index."""
    labels = {label.casefold(): index for index, (label, _) in enumerate(options)}
    texts = {}
    for index, (_, text) in enumerate(options):
        words = _clean(text).strip().rstrip(".!").split()
        while len(words) > 1 and words[0].lower() in ("the", "a", "an"):
            words = words[1:]
        joined = " ".join(words)
        if joined and joined.casefold() not in labels:
            texts[index] = joined
    by_length = sorted(texts, key=lambda index: -len(texts[index]))
    parts = [f"(?P<o{index}>{_text_pattern(texts[index])})" for index in by_length]
    return (re.compile("|".join(parts), re.IGNORECASE) if parts else None), labels


def _text_pattern(text: str) -> str:
    before = r"(?<![^\W_])" if re.match(r"\w", text) else ""
    after = r"(?![^\W_])" if re.search(r"\w\Z", text) else ""
    if re.match(r"[\d.]", text):
        before += r"(?<!\d[.,])(?<![-−+/^.])"
    if re.search(r"\d\Z", text):
        after += r"(?![.,/^]\d|\s?[%^/])"
    return before + r"\s+".join(map(re.escape, text.split())) + after
