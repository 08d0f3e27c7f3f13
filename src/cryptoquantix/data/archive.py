"""
What an archive file holds, read from its name and place; it opens no file.

Binance names its public files ``SYMBOL-KIND-DATE`` (``BTCUSDT-1m-2024-01.zip``,
``PEPEUSDT-aggTrades-2024-10-27.zip``) in folders that say the market
(``futures/um/monthly/klines/...``). Copies often carry the market as a prefix
instead (``futures-um-klines-BTCUSDT-1h-2024-10-28.zip``). What neither name nor
place says must be asked for: nothing is guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import InstrumentId, InstrumentKind, Venue
from cryptoquantix.data.layout import DatasetKey
from cryptoquantix.data.schema import INTERVALS, DatasetKind, interval_seconds


class ArchiveKind(StrEnum):
    """What a row of the file is."""

    TRADES = "trades"
    AGG_TRADES = "aggTrades"
    KLINES = "klines"
    FUNDING = "fundingRate"


class Market(StrEnum):
    """Binance's markets, by the archive's folder names."""

    UM = "um"
    SPOT = "spot"


_DATASETS = {
    ArchiveKind.TRADES: DatasetKind.TICKS,
    ArchiveKind.AGG_TRADES: DatasetKind.TICKS,
    ArchiveKind.KLINES: DatasetKind.BARS,
    ArchiveKind.FUNDING: DatasetKind.FUNDING,
}

_NAME = re.compile(
    r"""
    (?:(?:futures-(?P<future>um|cm)|(?P<spot>spot))-)?
    (?:(?:daily|monthly)-)?
    (?:(?P<folder>klines|trades|aggTrades|fundingRate)-)?
    (?P<symbol>[A-Z0-9]{2,30}(?:_[A-Z0-9]+)?)
    -(?P<word>[A-Za-z0-9]+)
    -(?P<date>\d{4}-\d{2}(?:-\d{2})?)
    """,
    re.VERBOSE,
)
_DATED = re.compile(r"[A-Z0-9]+_\d{6}")


@dataclass(frozen=True, slots=True)
class Archive:
    """One file and what it holds; ``interval`` only for klines."""

    path: Path
    kind: ArchiveKind
    market: Market
    instrument: InstrumentId
    interval: str = ""

    @property
    def key(self) -> DatasetKey:
        """The dataset that its rows belong to."""
        return DatasetKey(_DATASETS[self.kind], self.instrument, self.interval)


@dataclass(frozen=True, slots=True)
class Answers:
    """What the user says of files whose names do not; empty where nothing is said."""

    venue: str = ""
    kind: str = ""
    symbol: str = ""
    market: str = ""
    interval: str = ""


def is_archive_name(path: Path) -> bool:
    """Whether a file is named like an archive, so that a folder is worth it."""
    return path.suffix in {".zip", ".csv"} and _word(path) is not None


def _word(path: Path) -> re.Match[str] | None:
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    word = match["word"]
    return match if word in INTERVALS or word in _KIND_WORDS else None


_KIND_WORDS = frozenset(kind.value for kind in ArchiveKind) - {ArchiveKind.KLINES.value}


def describe(path: Path, answers: Answers | None = None) -> Archive:
    """
    Return what the file at ``path`` holds.

    Answers win over the name; where both are silent, one sentence names the option.

    Raises
    ------
    SettingsError
        If something is missing, unknown, or does not fit together.

    Examples
    --------
    >>> archive = describe(Path("spot-PEPEUSDT-aggTrades-2024-10-27.zip"))
    >>> str(archive.instrument), archive.kind.value
    ('binance:PEPEUSDT-SPOT', 'aggTrades')
    """
    answers = answers or Answers()
    _check_venue(path, answers.venue)
    match = _word(path)
    kind = _kind(path, match, answers)
    symbol = answers.symbol or (match["symbol"] if match else "")
    if not symbol:
        raise SettingsError(_ask(path, "the instrument", "--symbol BTCUSDT"))
    market = _market(path, match, answers, kind)
    instrument = InstrumentId.of(Venue.BINANCE, symbol, _settles(symbol, market))
    if kind is not ArchiveKind.KLINES:
        return Archive(path, kind, market, instrument)
    return Archive(path, kind, market, instrument, _interval(path, match, answers))


def _ask(path: Path, what: str, option: str) -> str:
    return (
        f"{path.name}: its name does not say {what} (expected SYMBOL-KIND-DATE like "
        f"BTCUSDT-1m-2024-01.zip), give it with {option}"
    )


def _check_venue(path: Path, venue: str) -> None:
    if venue and venue != Venue.BINANCE.value:
        msg = f"{path.name}: --venue must be binance, was {venue!r}"
        raise SettingsError(msg)


def _kind(path: Path, match: re.Match[str] | None, answers: Answers) -> ArchiveKind:
    known = [kind.value for kind in ArchiveKind]
    if answers.kind:
        if answers.kind not in known:
            msg = f"--kind must be one of {', '.join(known)}, was {answers.kind!r}"
            raise SettingsError(msg)
        return ArchiveKind(answers.kind)
    if match is None:
        raise SettingsError(_ask(path, "what it holds", f"--kind {'|'.join(known)}"))
    word = match["word"]
    return ArchiveKind.KLINES if word in INTERVALS else ArchiveKind(word)


def _market(
    path: Path, match: re.Match[str] | None, answers: Answers, kind: ArchiveKind
) -> Market:
    known = [market.value for market in Market]
    said = answers.market or _said_market(path, match)
    if not said and kind is ArchiveKind.FUNDING:
        said = Market.UM.value  # spot has no funding
    if not said:
        msg = (
            f"{path.name}: neither its name nor its folder says whether it is USD-M "
            f"futures or spot, give --market um or --market spot"
        )
        raise SettingsError(msg)
    if said not in known:
        msg = f"{path.name}: market must be one of {', '.join(known)}, was {said!r}"
        raise SettingsError(msg)
    return Market(said)


def _said_market(path: Path, match: re.Match[str] | None) -> str:
    if match is not None and (match["future"] or match["spot"]):
        return match["future"] or "spot"
    folders = path.parent.parts
    for outer, inner in pairwise(folders):
        if outer == "futures" and inner in {"um", "cm"}:
            return inner
        if outer == "spot" and inner in {"daily", "monthly"}:
            return outer
    return ""


def _settles(symbol: str, market: Market) -> InstrumentKind:
    if market is Market.SPOT:
        return InstrumentKind.SPOT
    if _DATED.fullmatch(symbol):
        return InstrumentKind.DATED_FUTURE
    return InstrumentKind.PERPETUAL


def _interval(path: Path, match: re.Match[str] | None, answers: Answers) -> str:
    interval = answers.interval or (match["word"] if match else "")
    if not interval or (not answers.interval and interval not in INTERVALS):
        raise SettingsError(_ask(path, "the interval of its bars", "--interval 1m"))
    interval_seconds(interval)  # refuses an unknown one
    return interval
