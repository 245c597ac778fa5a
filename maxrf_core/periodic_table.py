"""Names of the elements from sodium to uranium, and their places in the periodic table."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from .errors import ParameterError

__all__ = ["ELEMENTS", "ELEMENT_OF_WORD", "TABLE_SHAPE", "Element", "element_named"]

LONGEST_TEXT = 64

# Number, name, row and column of the usual table with 18 columns, the lanthanides in row 8 and
# the actinides in row 9. Names as IUPAC spells them.
_TABLE = (
    (3, ("Na sodium, Mg magnesium, -12, Al aluminium, Si silicon, P phosphorus, S sulfur, "
        "Cl chlorine, Ar argon")),
    (4, ("K potassium, Ca calcium, Sc scandium, Ti titanium, V vanadium, Cr chromium, "
        "Mn manganese, Fe iron, Co cobalt, Ni nickel, Cu copper, Zn zinc, Ga gallium, "
        "Ge germanium, As arsenic, Se selenium, Br bromine, Kr krypton")),
    (5, ("Rb rubidium, Sr strontium, Y yttrium, Zr zirconium, Nb niobium, Mo molybdenum, "
        "Tc technetium, Ru ruthenium, Rh rhodium, Pd palladium, Ag silver, Cd cadmium, "
        "In indium, Sn tin, Sb antimony, Te tellurium, I iodine, Xe xenon")),
    (6, "Cs caesium, Ba barium"),
    (8, ("-2, La lanthanum, Ce cerium, Pr praseodymium, Nd neodymium, Pm promethium, "
        "Sm samarium, Eu europium, Gd gadolinium, Tb terbium, Dy dysprosium, Ho holmium, "
        "Er erbium, Tm thulium, Yb ytterbium, Lu lutetium")),
    (6, ("-3, Hf hafnium, Ta tantalum, W tungsten, Re rhenium, Os osmium, Ir iridium, "
        "Pt platinum, Au gold, Hg mercury, Tl thallium, Pb lead, Bi bismuth, Po polonium, "
        "At astatine, Rn radon")),
    (7, "Fr francium, Ra radium"),
    (9, "-2, Ac actinium, Th thorium, Pa protactinium, U uranium"),
)  # fmt: skip
TABLE_SHAPE = (9, 18)
"""Rows and columns of the periodic table that the elements' places refer to."""
OTHER_NAMES = {
    "aluminum": "Al", "sulphur": "S", "cesium": "Cs", "wolfram": "W", "quicksilver": "Hg",
    "natrium": "Na", "kalium": "K", "ferrum": "Fe", "cuprum": "Cu", "argentum": "Ag",
    "stannum": "Sn", "stibium": "Sb", "aurum": "Au", "hydrargyrum": "Hg", "plumbum": "Pb",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Element:
    """An element and its place in the periodic table.

    Attributes
    ----------
    symbol, name : str
        Such as ``"Fe"`` and ``"iron"``.
    number : int
        Atomic number.
    row, column : int
        Place in a table of `TABLE_SHAPE`, from 1. Rows 8 and 9 are the lanthanides and the
        actinides.
    """

    symbol: str
    name: str
    number: int
    row: int
    column: int


def _elements() -> tuple[Element, ...]:
    """Return the table, sodium to uranium; ``-n`` in it leaves out the columns up to n."""
    found: list[Element] = []
    for row, text in _TABLE:
        column = 0
        for entry in text.split(", "):
            if entry.startswith("-"):
                column = int(entry[1:])
                continue
            column += 1
            symbol, name = entry.split()
            found.append(Element(symbol, name, 11 + len(found), row, column))
    return tuple(found)


ELEMENTS = _elements()
"""Sodium to uranium, by atomic number: those with a line that a 50 kV tube excites above 1 keV."""
_BY_SYMBOL = {element.symbol: element for element in ELEMENTS}
ELEMENT_OF_WORD = {
    **{element.symbol.lower(): element for element in ELEMENTS},
    **{element.name: element for element in ELEMENTS},
    **{name: _BY_SYMBOL[symbol] for name, symbol in OTHER_NAMES.items()},
}


def element_named(text: str) -> Element:
    """Return the element of a symbol or an English name, in upper or lower case.

    Raises
    ------
    ParameterError
        If it is none from sodium to uranium; with the nearest names.
    """
    word = text.strip().lower() if isinstance(text, str) else ""
    if word in ELEMENT_OF_WORD and len(text) <= LONGEST_TEXT:
        return ELEMENT_OF_WORD[word]
    near = get_close_matches(word[:LONGEST_TEXT], [e.name for e in ELEMENTS], n=3)
    hint = f"Did you mean {' or '.join(near)}?" if near else "Give a symbol or a name, as 'Fe'."
    raise ParameterError(
        f"{shown_text(text)} is no element from sodium (11) to uranium (92). {hint}"
    )


def shown_text(value: object) -> str:
    """Return what was given instead of a name, for a message; of lists and such only the type."""
    is_plain = value is None or isinstance(value, str | int | float)
    return repr(value)[:LONGEST_TEXT] if is_plain else f"a {type(value).__name__}"
