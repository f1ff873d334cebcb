"""Where a site is and how large it is, as the live map shows it: degrees, and logical CPUs."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Key of a site -> from, to, and what it is, for people. More CPUs than any site has are a slip of the keyboard, and
#: would hide all other sites behind one.
_LIMITS: Mapping[str, tuple[int, int, str]] = {
    "latitude": (-90, 90, "a latitude is a decimal number of degrees from -90 to 90, north positive."),
    "longitude": (-180, 180, "a longitude is a decimal number of degrees from -180 to 180, east positive."),
    "cpus": (1, 10_000_000, "a site has a whole number of logical CPUs from 1 to 10000000."),
}
#: About 11 m. A map needs no more, and 43.1 is no other place than 43.1000000001.
_DECIMALS = 4
# A decimal comma, a blank behind the sign, and the comma that stood between the two mean one thing only. Nothing else
# is guessed at: no letters, no minutes, no exponent.
_NUMBER = re.compile(r"([+-]?)\s*([0-9]+(?:[.,][0-9]*)?|[.,][0-9]+),?")


def reason_against(key: str, value: object) -> str:
    """Say why a value is no `latitude`, `longitude` or number of `cpus`; "" means that it is one."""
    least, most, what_it_is = _LIMITS[key]
    number = isinstance(value, int) or (isinstance(value, float) and key != "cpus")
    if number and not isinstance(value, bool) and least <= value <= most:  # type: ignore[operator]
        return ""  # NaN is not between anything
    return f"is {value!r:.40}; {what_it_is}"


def reason_against_half_a_place(latitude: float | None, longitude: float | None) -> str:
    """Say which of the two is missing; "" if both are there, or neither is."""
    if (latitude is None) is (longitude is None):
        return ""
    there, missing = ("longitude", "latitude") if latitude is None else ("latitude", "longitude")
    return f"has a {there} and no {missing}; give both, or neither."


def reasons_against_place(latitude: float | None, longitude: float | None, cpus: int | None) -> tuple[str, ...]:
    """Say why a site's place and size cannot stand in the registry; no reasons means that they can."""
    values = {"latitude": latitude, "longitude": longitude, "cpus": cpus}
    wrong = [f"its {k} {why}" for k, v in values.items() if v is not None and (why := reason_against(k, v))]
    return tuple(filter(None, (reason_against_half_a_place(latitude, longitude), *wrong)))


def rounded(degrees: float) -> float:
    """Degrees as an import writes and compares them."""
    return round(degrees, _DECIMALS) + 0.0  # -0.0 is 0.0


def in_words(place: tuple[float, float] | None) -> str:
    """`43.1 N, 12.4 E`; `-` where it is not known."""
    if place is None:
        return "-"
    latitude, longitude = map(rounded, place)
    return f"{abs(latitude)} {'S' if latitude < 0 else 'N'}, {abs(longitude)} {'W' if longitude < 0 else 'E'}"


def said_of_place(latitude: str, longitude: str) -> tuple[dict[str, float], tuple[str, ...]]:
    """Read GOCDB's LATITUDE and LONGITUDE: the registry's keys, or sentences on what cannot be right.

    Empty, and 0 for both (in the sea off Africa), is what GOCDB has where nobody entered them: no key, no sentence.
    """
    said = {"latitude": latitude.strip(), "longitude": longitude.strip()}
    numbers = {key: _number(text) for key, text in said.items()}
    if all(not text or numbers[key] == 0 for key, text in said.items()):
        return {}, ()
    problems = tuple(
        f"{key.upper()} {f'is {text!r:.40}' if text else 'is missing'}; {_LIMITS[key][2]}"
        for key, text in said.items()
        if reason_against(key, numbers[key])
    )
    return {} if problems else {k: rounded(n) for k, n in numbers.items() if n is not None}, problems


def said_of_cpus(said: tuple[str, ...], key: str) -> tuple[dict[str, int], tuple[str, ...]]:
    """Read what the extension `key` says of a site's CPUs: the registry's key, or a sentence on what is wrong."""
    match said:
        case ():
            return {}, ()
        case (text,):
            number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None
            if number is None or reason_against("cpus", number):
                return {}, (f"{key} is {text!r:.40}; {_LIMITS['cpus'][2]}",)
            return {"cpus": number}, ()
        case _:
            return {}, (f"{key} is given more than once, each time with another value.",)


def _number(text: str) -> float | None:
    match = _NUMBER.fullmatch(text)
    return float(match[1] + match[2].replace(",", ".")) if match else None
