"""
Environment and file to frozen settings, parsed once; it starts nothing.

Order of precedence: environment (``CQX_RISK__TOKEN`` sets ``risk.token``), then the
TOML file, then the defaults. Every part of the system receives only its own section.
"""

from __future__ import annotations

import os
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import InstrumentId, Venue

DEFAULT_FILE = "cryptoquantix.toml"

Fraction = Annotated[Decimal, Field(gt=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeySettings(_Section):
    """One API key of a venue."""

    key: SecretStr = SecretStr("")
    secret: SecretStr = SecretStr("")


class VenueSettings(KeySettings):
    """
    Where a venue is and the keys for it.

    ``key`` and ``secret`` are execution's; ``risk`` is the daemon's own pair, which
    no other process is given.
    """

    rest: str
    ws: str
    risk: KeySettings = KeySettings()


class NatsSettings(_Section):
    """The bus. ``embedded`` lets ``cqx up`` start a server of its own."""

    url: str = "nats://127.0.0.1:4222"
    embedded: bool = True


class RiskSettings(_Section):
    """
    The risk daemon's limits, and where it listens.

    ``drawdown_fraction_max`` is of the rolling 24 h high-water mark; the trip is
    inclusive (≥). ``warning_fractions`` are of that limit.
    """

    listen: str = "127.0.0.1:8700"
    url: str = "http://127.0.0.1:8700"
    token: SecretStr = SecretStr("")
    drawdown_fraction_max: Fraction = Decimal("0.03")
    warning_fractions: tuple[Fraction, ...] = (Decimal("0.5"), Decimal("0.8"))


class StrategySettings(_Section):
    """One strategy on one instrument; ``params`` are the strategy's own."""

    name: str
    instrument: str
    bar_seconds: Annotated[int, Field(gt=0, le=86_400)] = 60
    warmup_days: Annotated[int, Field(ge=0, le=3650)] = 30
    params: dict[str, float | int | bool] = {}

    @field_validator("instrument")
    @classmethod
    def _is_instrument(cls, value: str) -> str:
        InstrumentId.parse(value)
        return value


class ExecutionSettings(_Section):
    """
    How targets become orders.

    ``equity_fraction`` of the account's equity is allotted to each strategy;
    ``no_trade_band`` is the fraction of allotted equity below which a difference
    between wanted and held is left alone.
    """

    account: str = "main"
    equity_fraction: Fraction = Decimal(1)
    no_trade_band: Annotated[Decimal, Field(ge=0, le=1)] = Decimal("0.02")
    leverage_max: Annotated[Decimal, Field(gt=0, le=20)] = Decimal(3)
    orders_per_minute_max: Annotated[int, Field(gt=0, le=600)] = 60
    price_collar_fraction: Fraction = Decimal("0.05")


class TelegramSettings(_Section):
    """
    The bot and the chat that alarms go to; no token means no Telegram.

    Commands are taken from a user of ``command_user_ids`` in a chat of
    ``command_chat_ids`` (empty: the chat of ``chat_id``). Without user ids only the
    person of a private chat may command.
    """

    base_url: str = "https://api.telegram.org"
    token: SecretStr = SecretStr("")
    chat_id: str = ""
    commands: bool = True
    command_chat_ids: tuple[int, ...] = ()
    command_user_ids: tuple[int, ...] = ()


class AlarmSettings(_Section):
    """
    Where alarms go, and when this process raises its own.

    ``apprise`` gives names to Apprise URLs; Telegram's name is ``telegram``.
    ``required`` are the channels that must have an alarm before the daemon is told
    that it is delivered (empty: any one). ``escalation`` are the channels to which a
    critical alarm is repeated that no person acknowledges (empty: all).
    """

    telegram: TelegramSettings = TelegramSettings()
    apprise: dict[str, SecretStr] = {}
    required: tuple[str, ...] = ()
    escalation: tuple[str, ...] = ()
    critical_only: tuple[str, ...] = ()
    escalate_minutes: Annotated[float, Field(gt=0, le=1440)] = 10.0
    escalations_max: Annotated[int, Field(ge=0, le=100)] = 6
    all_clear_at: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^$")] = (
        "07:00"
    )
    daemon_silent_seconds: Annotated[float, Field(gt=0)] = 10.0
    reading_age_seconds_max: Annotated[float, Field(gt=0)] = 30.0
    undelivered_seconds_max: Annotated[float, Field(gt=0)] = 300.0
    channel_down_seconds: Annotated[float, Field(gt=0)] = 300.0


class Settings(BaseSettings):
    """Everything a deployment sets; ``directory`` holds all that is written."""

    model_config = SettingsConfigDict(
        env_prefix="CQX_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    directory: Path = Path("var")
    catalog: Path = Path("var/catalog")
    venues: dict[str, VenueSettings] = {}
    nats: NatsSettings = NatsSettings()
    risk: RiskSettings = RiskSettings()
    strategies: tuple[StrategySettings, ...] = ()
    execution: ExecutionSettings = ExecutionSettings()
    alarms: AlarmSettings = AlarmSettings()

    @field_validator("venues")
    @classmethod
    def _are_known(cls, value: dict[str, VenueSettings]) -> dict[str, VenueSettings]:
        known = sorted(venue.value for venue in Venue)
        unknown = sorted(set(value) - set(known))
        if unknown:
            msg = f"unknown venue {unknown[0]!r}, expected one of {', '.join(known)}"
            raise ValueError(msg)
        return value

    @classmethod
    def settings_customise_sources(  # noqa: PLR0917 - pydantic calls it like this
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment before the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings

    # Everything below a deployment's directory has one place and one name.

    @property
    def journal_path(self) -> Path:
        """Execution's journal."""
        return self.directory / "journal" / "journal.sqlite"

    @property
    def risk_store_path(self) -> Path:
        """The risk daemon's own store, which nothing else opens."""
        return self.directory / "risk" / "risk.sqlite"

    @property
    def nats_directory(self) -> Path:
        """JetStream's files."""
        return self.directory / "nats"

    @property
    def log_directory(self) -> Path:
        """One log file a process."""
        return self.directory / "logs"

    @property
    def kernel_cache(self) -> Path:
        """Compiled strategies."""
        return self.directory / "kernels"


def load_settings(path: Path | None = None) -> Settings:
    """
    Return the settings of ``path``, or of ``$CQX_CONFIG``, or of the default file.

    Relative directories are relative to the file. The default file may be absent,
    a named one may not.

    Raises
    ------
    SettingsError
        One sentence: the first setting that is wrong, what was found and expected.
    """
    named = path or (
        Path(os.environ["CQX_CONFIG"]) if "CQX_CONFIG" in os.environ else None
    )
    file = named or Path(DEFAULT_FILE)
    values: dict[str, Any] = {}
    if file.exists():
        values = _read(file)
    elif named is not None:
        msg = f"no settings file at {file}"
        raise SettingsError(msg)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_first(error, file)) from None
    base = file.parent.resolve()
    return settings.model_copy(
        update={
            "directory": base / settings.directory,
            "catalog": base / settings.catalog,
        }
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{file} is not valid TOML: {error}"
        raise SettingsError(msg) from None
    except OSError as error:
        msg = f"cannot read {file}: {error.strerror}"
        raise SettingsError(msg) from None


def _first(error: ValidationError, file: Path) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    found = "" if first["type"] == "missing" else f", was {first['input']!r}"
    if isinstance(first["input"], dict):
        found = ""
    return f"setting {where} ({file} or environment): {first['msg']}{found}"
