"""Texts for numbers and configurations in sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syne_hypersched._terminal_text import shown


def metric_text(value: float) -> str:
    """A metric with four decimals; with four digits if it is too small or too large for this.

    Example
    -------
    >>> metric_text(0.25), metric_text(0.00002345678), metric_text(-3.2e11)
    ('0.2500', '2.346e-05', '-3.2e+11')
    """
    return f"{value:.4g}" if 0 < abs(value) < 0.01 or abs(value) >= 1e8 else decimals(value, ".4f")


def decimals(value: float, spec: str) -> str:
    """A number in a format with decimals. A number that is rounded to 0 has no minus sign.

    Example
    -------
    >>> decimals(-0.00001, ".3f"), decimals(-0.00001, "+.3f"), decimals(-0.5, ".3f")
    ('0.000', '+0.000', '-0.500')
    """
    text = format(value, spec)
    return format(0.0, spec) if text.startswith("-") and not float(text) else text


def seconds_text(seconds: float, digits: int = 4) -> str:
    """Seconds with so many digits, or with all digits before the decimal point if there are more.

    Example
    -------
    >>> seconds_text(0.12345), seconds_text(7252.6), seconds_text(86400.0, 3)
    ('0.1235', '7253', '86400')
    """
    return f"{seconds:.0f}" if abs(seconds) >= 10 ** (digits - 1) else f"{seconds:.{digits}g}"


def short(value: object) -> str:
    """A value of a configuration: a float with four digits, an empty text as two quotation marks, others unchanged.

    Example
    -------
    >>> short(0.123456), short(64), short("adam"), short("")
    ('0.1235', '64', 'adam', "''")
    """
    return f"{value:.4g}" if isinstance(value, float) else shown(value) or "''"


def configuration_text(config: Mapping[str, object]) -> str:
    """A configuration as one line.

    Example
    -------
    >>> configuration_text({"lr": 0.000123456, "act": "relu"})
    'lr=0.0001235, act=relu'
    """
    return ", ".join(f"{shown(name)}={short(value)}" for name, value in config.items())


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with a noun in singular or plural.

    Example
    -------
    >>> counted(1, "launch", "launches"), counted(3, "trial")
    ('1 launch', '3 trials')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def enumerated(names: Sequence[str]) -> str:
    """Names as a part of a sentence.

    Example
    -------
    >>> enumerated(["a"]), enumerated(["a", "b"]), enumerated(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
