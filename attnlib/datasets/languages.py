"""Closed lists of number morphemes, one per language, for 0 to 9999.

A number's words, as num2words writes them, are cut into morphemes such as
German `ein und zwanzig` or French `quatre vingt dix neuf`. Spaces, hyphens and
commas are no tokens: `Language.separator` says where they belong, so that
`join` gives back num2words' own spelling. Tests prove it for every number.
"""

import dataclasses
import functools
import re
from collections.abc import Callable

LARGEST = 9999


@dataclasses.dataclass(frozen=True)
class Language:
    """The number morphemes of one language.

    Attributes:
        code: ISO 639-1 code, which is also num2words'.
        name: English name.
        values: Every morpheme with its value; None for a word without one
            (and, und, et). Variants such as `ein`, `eins` share a value.
        separator: `separator(tokens, i)` is what is written between
            `tokens[i]` and `tokens[i + 1]`.
    """

    code: str
    name: str
    values: dict[str, int | None]
    separator: Callable[[list[str], int], str]

    def value(self, token: str) -> int | None:
        """Return a morpheme's value, None for words without one."""
        return self.values.get(token)

    def join(self, tokens: list[str]) -> str:
        """Write morphemes as num2words does."""
        pieces = list(tokens[:1])
        for i in range(len(tokens) - 1):
            pieces += [self.separator(tokens, i), tokens[i + 1]]
        return "".join(pieces)

    def segment(self, text: str) -> list[str]:
        """Cut a number's words into morphemes.

        Raises:
            ValueError: The text is not made of this language's morphemes.
        """
        tokens = []
        for word in re.split(r"[ ,-]+", text):
            cut = _segment(self.code, word)
            if cut is None:
                raise ValueError(
                    f"{text!r} is not a number from 0 to {LARGEST} in words "
                    f"of {self.name}: {word!r} is unknown"
                )
            tokens += cut
        return tokens


@functools.cache
def _segment(code: str, word: str) -> tuple[str, ...] | None:
    """Cut one word, the longest morpheme first, going back when stuck."""
    if not word:
        return ()
    for end in range(len(word), 0, -1):
        if word[:end] in LANGUAGES[code].values:
            rest = _segment(code, word[end:])
            if rest is not None:
                return (word[:end], *rest)
    return None


def _values(**words: str) -> dict[str, int | None]:
    """Read a table: `units` counts from 0, `tens` from 10 in tens.

    Variants of one value are joined by `/`; `others` are `word:value`, and
    `empty` are words without a value.
    """
    table: dict[str, int | None] = {}
    for name, first, step in (("units", 0, 1), ("tens", 10, 10)):
        for index, variants in enumerate(words[name].split()):
            for word in variants.split("/"):
                table[word] = first + step * index
    for entry in words.get("others", "").split():
        word, value = entry.split(":")
        table[word] = int(value)
    for name, value in (("hundred", 100), ("thousand", 1000)):
        for word in words[name].split():
            table[word] = value
    return table | dict.fromkeys(words.get("empty", "").split())


def _is(low: int, value: int | None, high: int) -> bool:
    return value is not None and low <= value <= high


def _together(tokens, i):
    return ""


def _apart(tokens, i):
    return " "


def _english(tokens, i):
    left, right = (_EN.get(token) for token in tokens[i : i + 2])
    if _is(20, left, 90) and _is(1, right, 9):
        return "-"
    return ", " if left == 1000 and tokens[i + 1] != "and" else " "


def _french(tokens, i):
    left, right = (_FR.get(token) for token in tokens[i : i + 2])
    return "-" if _is(1, left, 99) and _is(1, right, 99) else " "


def _spanish(tokens, i):
    glued = tokens[i] == "veinti" or tokens[i + 1] == "cientos"
    return "" if glued else " "


def _portuguese(tokens, i):
    return "" if tokens[i + 1] in ("zentos", "centos") else " "


def _slavic(tokens, i):
    return "" if tokens[i + 1] in ("sta", "set", "stě", "ście") else " "


def _swedish(tokens, i):
    hundreds = i + 2 < len(tokens) and tokens[i + 2] == "hundra"
    return " " if tokens[i] == "tusen" and hundreds else ""


def _norwegian(tokens, i):
    left, right = (_NO.get(token) for token in tokens[i : i + 2])
    return "" if _is(20, left, 90) and _is(1, right, 9) else " "


def _danish(tokens, i):
    # "og" is part of the word between unit and ten (en-og-tyve) and a word of
    # its own after hundreds and thousands.
    og = i if tokens[i] == "og" else i + 1
    if tokens[og] != "og":
        return ""
    return "" if og and _is(1, _DA.get(tokens[og - 1]), 9) else " "


_EN = _values(
    units="zero one two three four five six seven eight nine ten eleven "
    "twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
    tens="ten twenty thirty forty fifty sixty seventy eighty ninety",
    hundred="hundred",
    thousand="thousand",
    empty="and",
)
_DE = _values(
    units="null ein/eins zwei drei vier fünf sechs sieben acht neun zehn elf "
    "zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn",
    tens="zehn zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
    hundred="hundert",
    thousand="tausend",
    empty="und",
)
_FR = _values(
    units="zéro un deux trois quatre cinq six sept huit neuf dix onze douze "
    "treize quatorze quinze seize",
    tens="dix vingt/vingts trente quarante cinquante soixante",
    hundred="cent cents",
    thousand="mille",
    empty="et",
)
_ES = _values(
    units="cero uno dos/dós tres/trés cuatro cinco seis/séis siete/sete "
    "ocho nueve/nove diez once doce trece catorce quince dieciséis diecisiete "
    "dieciocho diecinueve",
    tens="diez veinte/veinti treinta cuarenta cincuenta sesenta setenta "
    "ochenta noventa",
    others="quinientos:500",
    hundred="cien ciento cientos",
    thousand="mil",
    empty="y",
)
# num2words writes 118, 218 and so on with "dicotto".
_IT = _values(
    units="zero uno due tre/tré quattro cinque sei sette otto nove dieci "
    "undici dodici tredici quattordici quindici sedici diciassette "
    "diciotto/dicotto diciannove",
    tens="dieci venti/vent trenta/trent quaranta/quarant cinquanta/cinquant "
    "sessanta/sessant settanta/settant ottanta/ottant novanta/novant",
    hundred="cento cent",
    thousand="mille mila",
)
_NL = _values(
    units="nul een/één twee drie vier vijf zes zeven acht negen tien elf "
    "twaalf dertien veertien vijftien zestien zeventien achttien negentien",
    tens="tien twintig dertig veertig vijftig zestig zeventig tachtig negentig",
    hundred="honderd",
    thousand="duizend",
    empty="en ën",
)
_PT = _values(
    units="zero um dois/du três/tre quatro cinco seis sete oito nove dez onze "
    "doze treze catorze quinze dezasseis dezassete dezoito dezanove",
    tens="dez vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
    others="quinhentos:500",
    hundred="cem cento centos zentos",
    thousand="mil",
    empty="e",
)
_DA = _values(
    units="nul et/en to tre fire fem seks syv otte ni ti elleve tolv tretten "
    "fjorten femten seksten sytten atten nitten",
    tens="ti tyve tredive fyrre halvtreds treds halvfjerds firs halvfems",
    hundred="hundrede",
    thousand="tusind tusinde",
    empty="og",
)
_SV = _values(
    units="noll ett två tre fyra fem sex sju åtta nio tio elva tolv tretton "
    "fjorton femton sexton sjutton arton nitton",
    tens="tio tjugo trettio förtio femtio sextio sjuttio åttio nittio",
    hundred="hundra",
    thousand="tusen",
)
_NO = _values(
    units="null en to tre fire fem seks syv åtte ni ti elleve tolv tretten "
    "fjorten femten seksten sytten atten nitten",
    tens="ti tjue tretti førti femti seksti sytti åtti nitti",
    hundred="hundre",
    thousand="tusen",
    empty="og",
)
_PL = _values(
    units="zero jeden dwa/dwie trzy cztery pięć sześć siedem osiem dziewięć "
    "dziesięć jedenaście dwanaście trzynaście czternaście piętnaście "
    "szesnaście siedemnaście osiemnaście dziewiętnaście",
    tens="dziesięć dwadzieścia trzydzieści czterdzieści pięćdziesiąt "
    "sześćdziesiąt siedemdziesiąt osiemdziesiąt dziewięćdziesiąt",
    hundred="sto sta set ście",
    thousand="tysiąc tysiące tysięcy",
)
_CS = _values(
    units="nula jedna dva/dvě tři čtyři pět šest sedm osm devět deset "
    "jedenáct dvanáct třináct čtrnáct patnáct šestnáct sedmnáct osmnáct "
    "devatenáct",
    tens="deset dvacet třicet čtyřicet padesát šedesát sedmdesát osmdesát "
    "devadesát",
    hundred="sto sta set stě",
    thousand="tisíc tisíce",
)

LANGUAGES = {
    code: Language(code, name, values, separator)
    for code, name, values, separator in (
        ("cs", "Czech", _CS, _slavic),
        ("da", "Danish", _DA, _danish),
        ("de", "German", _DE, _together),
        ("en", "English", _EN, _english),
        ("es", "Spanish", _ES, _spanish),
        ("fr", "French", _FR, _french),
        ("it", "Italian", _IT, _together),
        ("nl", "Dutch", _NL, _together),
        ("no", "Norwegian", _NO, _norwegian),
        ("pl", "Polish", _PL, _slavic),
        ("pt", "Portuguese", _PT, _portuguese),
        ("sv", "Swedish", _SV, _swedish),
    )
}


def get(code) -> Language:
    """Return a language by its code.

    Raises:
        ValueError: It has no tested list of morphemes.
    """
    found = LANGUAGES.get(code) if isinstance(code, str) else None
    if found is None:
        raise ValueError(
            f"language {code!r} has no tested list of number morphemes; "
            f"expected one of {', '.join(LANGUAGES)}"
        )
    return found
