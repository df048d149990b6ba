r"""Find LaTeX commands whose backslash was read as an escape of JSON (or of a Python string).

    {"response": "so \boxed{\frac{1}{2}}"}  ->  a backspace and `oxed{`, a form feed and `rac{1}{2}`
    {"response": "$x \neq y$"}              ->  a line break and `eq y$`

Only a control character that is followed by the rest of a known command counts. Where that rest also occurs in ordinary
text (`\to` is a tab and `o`; `\neq` is a line break and `eq`, an ordinary beginning of a line), the text around it
must be LaTeX: `_is_plausible` holds the rules.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter

# Commands by the letter that the escape takes.
_COMMANDS = {
    "\a": "acute aleph alpha amalg angle approx approxeq arccos arcsin arctan arg ast asymp",
    "\b": "backprime backsim backslash bar barwedge bbox because begin beta beth between bf bfseries bigcap bigcirc bigcup "
    "big bigg biggl biggr bigl bigm bigodot bigoplus bigotimes bigr bigsqcup bigstar bigtriangledown bigtriangleup "
    "biguplus bigvee bigwedge binom blacklozenge blacksquare blacktriangle bm bmod bmatrix bold boldsymbol bot bowtie "
    "boxdot boxed boxminus boxplus boxtimes bra breve bullet bumpeq",
    "\f": "fbox fcolorbox flat flushleft flushright footnote footnotesize forall frac framebox frak frown",
    "\n": "nLeftarrow nRightarrow nVdash nabla natural ncong ne nearrow neg neq newcommand newline nexists ngeq ngtr ni "
    "nleftarrow nleq nless nmid noindent nolimits nonumber not notag notin nparallel nprec nrightarrow nsim nsubset "
    "nsubseteq nsucc nsupseteq nu nwarrow",
    "\r": "raggedright raisebox rangle rbrace rbrack rceil ref renewcommand rfloor rho right rightarrow rightarrowtail "
    "rightharpoondown rightharpoonup rightleftarrows rightleftharpoons rightrightarrows rightsquigarrow rm root rtimes "
    "rule rvert",
    "\t": "tableofcontents tag tan tanh tau tbinom text textasciitilde textbackslash textbf textcolor textdegree textit "
    "textnormal textrm textsc textsf textstyle textsubscript textsuperscript texttt textup tfrac therefore theta "
    "thickapprox thicksim thickspace thinspace tilde times tiny title to top triangle triangledown triangleleft "
    "trianglelefteq triangleq triangleright trianglerighteq tt twoheadrightarrow",
    "\v": "varepsilon varkappa varnothing varphi varpi varpropto varrho varsigma vartheta vdash vdots vec vee veebar vert",
}
_LETTERS = {escape: names[0] for escape, names in _COMMANDS.items()}
_REST = {escape: {name[1:] for name in names.split()} for escape, names in _COMMANDS.items()}
CHARACTERS = {
    "\a": "bell", "\b": "backspace", "\f": "form feed", "\n": "line break", "\r": "carriage return", "\t": "tab",
    "\v": "vertical tab",
}  # fmt: skip

# Rests that also stand after such a character in ordinary text, tables and programs.
_COMMON = {
    "\f": {"box", "lat"},
    "\t": {"ag", "an", "anh", "au", "binom", "ext", "frac", "itle", "o", "op", "riangle", "t"},
    "\r": {"angle", "brace", "ceil", "ef", "floor", "ho", "m", "oot", "ule", "vert"},
}
_TAKES_BRACE = {"ag", "binom", "box", "ext", "frac", "itle"}  # at once followed by `{` they are commands
_NO_CELL = {"o", "anh", "au", *_COMMON["\r"]}  # after a space and a tab or a carriage return these are commands
# After a line break these are no words; each other rest is also the beginning of a line.
_NO_WORD = {"abla", "earrow", "ewcommand", "oindent", "olimits", "onumber", "otag", "ormalsize", "subseteq", "supseteq"}
_RELATION = {"eq", "exists", "geq", "leq", "otin"}  # follow what they relate, on the same line

NEARBY = 400  # characters before a control character that are looked at
_CANDIDATE = re.compile(r"[\a\b\t\n\v\f\r]([A-Za-z]+)")
_WITHOUT_CHARACTER = re.compile(
    r"(?<![A-Za-z\\\x08\f])(rac|oxed|egin)\{"
)  # where a cleaner has removed the control character
_WHOLE_NAME = {"rac": "frac", "oxed": "boxed", "egin": "begin"}
_LATEX = re.compile(r"\\[A-Za-z]{2,}|\\[(\[]|[_^]\{")
_FENCED = re.compile(r"^```.*?(?:^```|\Z)", re.DOTALL | re.MULTILINE)
_OPERAND = re.compile(r"(?:\b[A-Za-z]\d?|[\d)}\]$|])[ ]?$")  # ends a line that a relation would continue
_ARGUMENT = re.compile(r"[(^_{\\]| [A-Za-z\\]$")  # of a function
_OPERAND_START = re.compile(r" ?[^\W_]|[\\({$|+-]| [\\({$|+-]")


def lost_commands(text: str) -> Counter[str]:
    r"""Count the LaTeX commands of a text that lost their backslash.

    Args:
        text: a message, decoded from its file.

    Returns:
        Number of places by description, `\frac (form feed, then rac)`, in the order of the text; empty for a sound text.
    """
    candidates = () if text.isprintable() else _CANDIDATE.finditer(text)  # ten times faster than the search
    matches = [match for match in candidates if match[1] in _REST[match[0][0]]]
    bare = [*_WITHOUT_CHARACTER.finditer(text)] if "rac{" in text or "oxed{" in text or "egin{" in text else []
    if not matches and not bare:
        return Counter()
    certain = {match.start() for match in matches if _is_certain(text, match)}
    is_damaged = bool(certain or bare)
    fences = [place for match in _FENCED.finditer(text) for place in match.span()] if "```" in text else []
    lost: Counter[str] = Counter()
    for match in sorted((*matches, *bare), key=lambda match: match.start()):
        start, rest, character = match.start(), match[1], match[0][0]
        if match.re is _WITHOUT_CHARACTER:
            lost[rf"\{_WHOLE_NAME[rest]} (only {rest} is left)"] += 1
        elif start in certain or (bisect(fences, start) % 2 == 0 and _is_plausible(text, match, is_damaged)):
            lost[rf"\{_LETTERS[character]}{rest} ({CHARACTERS[character]}, then {rest})"] += 1
    return lost


def _is_certain(text: str, match: re.Match[str]) -> bool:
    """Return whether a control character and a rest are a command whatever stands around them."""
    character, rest = match[0][0], match[1]
    if character == "\n":
        return False
    if rest in _COMMON.get(character, ()):
        after = text[match.end() : match.end() + 2]
        return rest in _TAKES_BRACE and after[:1] == "{" and after[1:2] not in ("", "\n", "\r")
    return len(rest) > 1 or character in "\a\b\v"


def _is_plausible(text: str, match: re.Match[str], is_damaged: bool) -> bool:
    """Return whether a rest that also occurs in ordinary text is a command here.

    Args:
        text: the whole text.
        match: the control character and the rest.
        is_damaged: whether other commands of the text have certainly lost their backslash.
    """
    character, rest, start = match[0][0], match[1], match.start()
    nearby = max(start - NEARBY, 0)
    line = text[max(text.rfind("\n", nearby, start) + 1, nearby) : start]  # what stands before it on its line
    after = text[match.end() : match.end() + 2]
    follows_space = line[-1:] in (" ", "$", "(", "{", "[")
    if character == "\n":
        if rest in _NO_WORD:
            return True
        if after.lstrip(" ")[:1] in ("=", ":", "."):  # the name of a variable or a field, or an abbreviation
            return False
        if rest in _RELATION:
            return is_damaged or (_OPERAND.search(line) is not None and _OPERAND_START.match(after) is not None)
        return (follows_space and is_damaged) or _opens_inline_math(line)
    if character == "\t" and not line.strip():  # indentation
        return is_damaged and start == 0
    if follows_space and (rest in _NO_CELL or (rest == "an" and _ARGUMENT.match(after))):
        return True
    return is_damaged or line.count("$") % 2 == 1 or _LATEX.search(line) is not None


def _opens_inline_math(line: str) -> bool:
    """Return whether a line ends in `$...$` or `\\(...\\)`, after a space or at once; displayed math may break anywhere."""
    opened = (line.count("$") % 2 == 1 and "$$" not in line) or line.rfind("\\(") > line.rfind("\\)")
    return opened and line[-1] in " $({["
