"""
Where a dataset lies below the catalog's root, and what is known of it as a whole.

::

    ticks/venue=binance/instrument=BTCUSDT-PERP/date=2024-01-01/*.parquet
    bars/venue=binance/instrument=BTCUSDT-PERP/interval=1m/date=2024-01-01/*.parquet
    funding/venue=binance/instrument=BTCUSDT-PERP/date=2024-01-01/*.parquet

Beside the dates of a dataset lies ``dataset.json``, its marker: where the rows come
from, whether they are generated, and how many decimals they have. This module reads
markers and lists folders; it writes neither.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryptoquantix.core.errors import DataError, SettingsError, StateCorrupt
from cryptoquantix.core.instrument import InstrumentId
from cryptoquantix.data.schema import INTERVALS, DatasetKind

MARKER = "dataset.json"
_DATE = "date="


@dataclass(frozen=True, slots=True)
class DatasetKey:
    """What names a dataset; ``interval`` only for bars."""

    kind: DatasetKind
    instrument: InstrumentId
    interval: str = ""

    def __str__(self) -> str:
        return f"{self.instrument} {self.interval or self.kind.value}"

    @property
    def path(self) -> Path:
        """The dataset's folder, relative to the catalog's root."""
        parts = [
            self.kind.value,
            f"venue={self.instrument.venue.value}",
            f"instrument={self.instrument.name}",
        ]
        if self.interval:
            parts.append(f"interval={self.interval}")
        return Path(*parts)

    def partition(self, date: str) -> Path:
        """Return the folder of one UTC day, relative to the catalog's root."""
        return self.path / f"{_DATE}{date}"


@dataclass(frozen=True, slots=True)
class Marker:
    """
    What is true of a whole dataset.

    ``source`` is the archive kind (``trades``, ``aggTrades``, ``klines``,
    ``fundingRate``), ``built`` (bars from ticks) or ``generated``. ``decimals``
    by column, where every value so far has at most 15 digits.
    """

    source: str
    generated: bool = False
    decimals: dict[str, int] = field(default_factory=dict)

    def text(self) -> str:
        """Return the marker as it is written."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def read_marker(folder: Path) -> Marker:
    """
    Return the marker of the dataset in ``folder``.

    Raises
    ------
    DataError
        If there is none: there is no dataset.
    StateCorrupt
        If it is not a marker.
    """
    path = folder / MARKER
    try:
        value: dict[str, Any] = json.loads(path.read_text())
        return Marker(
            str(value["source"]), bool(value["generated"]), dict(value["decimals"])
        )
    except FileNotFoundError:
        msg = f"no dataset in {folder}"
        raise DataError(msg) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        msg = f"{path} is no dataset marker: {error}"
        raise StateCorrupt(msg) from None


def partition_dates(folder: Path) -> list[str]:
    """Return the UTC days that the dataset in ``folder`` holds, sorted."""
    return sorted(p.name.removeprefix(_DATE) for p in folder.glob(f"{_DATE}*"))


def dataset_keys(root: Path) -> list[DatasetKey]:
    """Return every dataset below ``root``, sorted by path."""
    keys = [
        _key(p.parent.relative_to(root)) for p in sorted(root.glob(f"*/**/{MARKER}"))
    ]
    return [key for key in keys if key is not None]


def _key(path: Path) -> DatasetKey | None:
    """Return the dataset that a relative folder names, None if none of ours."""
    names = dict(part.partition("=")[::2] for part in path.parts[1:])
    try:
        kind = DatasetKind(path.parts[0])
        instrument = InstrumentId.parse(f"{names['venue']}:{names['instrument']}")
    except (KeyError, ValueError, SettingsError):
        return None
    interval = names.get("interval", "")
    is_known = interval in INTERVALS if kind is DatasetKind.BARS else not interval
    return DatasetKey(kind, instrument, interval) if is_known else None
