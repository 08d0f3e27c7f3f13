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
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as UnreadSettingsError

from cryptoquantix.apps.addresses import Bus, Web, WebSocket, is_loopback
from cryptoquantix.apps.secret_files import refuse_open_file, with_secret_files
from cryptoquantix.apps.settings_errors import (
    first_sentence,
    refuse_mistyped,
    unread,
)
from cryptoquantix.core.errors import SettingsError
from cryptoquantix.core.instrument import InstrumentId, Venue

DEFAULT_FILE = "cryptoquantix.toml"

Fraction = Annotated[Decimal, Field(gt=0, le=1)]
PartFraction = Annotated[Decimal, Field(gt=0, lt=1)]
Seconds = Annotated[Decimal, Field(gt=0, le=86_400)]
SubSecond = Annotated[Decimal, Field(gt=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeySettings(_Section):
    """One API key of a venue; ``key_file`` and ``secret_file`` keep them elsewhere."""

    key: SecretStr = SecretStr("")
    secret: SecretStr = SecretStr("")
    key_file: Path | None = None
    secret_file: Path | None = None


class VenueSettings(KeySettings):
    """
    Where a venue is and the keys for it.

    ``key`` and ``secret`` are execution's; ``risk`` is the daemon's own pair, which
    no other process is given.
    """

    rest: Web
    ws: WebSocket
    risk: KeySettings = KeySettings()


class NatsSettings(_Section):
    """The bus. ``embedded`` lets ``cqx up`` start a server of its own."""

    url: Bus = "nats://127.0.0.1:4222"
    embedded: bool = True


class RiskSettings(_Section):
    """
    The risk daemon's limits, and where it listens.

    ``drawdown_fraction_max`` is of the rolling 24 h high-water mark; the trip is
    inclusive (≥). ``warning_fractions`` are of that limit. What each of the others is
    for: docs/settings.md and ``risk/rules.py``. ``kill_at_step`` ends the
    daemon at a step of a halt, for drills: it is refused with a live venue.
    """

    listen: str = "127.0.0.1:8700"
    url: Web = "http://127.0.0.1:8700"
    token: SecretStr = SecretStr("")
    token_file: Path | None = None
    drawdown_fraction_max: Fraction = Decimal("0.03")
    warning_fractions: tuple[PartFraction, ...] = (Decimal("0.5"), Decimal("0.8"))
    hard_multiple: Annotated[Decimal, Field(gt=1, le=1000)] = Decimal(2)
    collateral_moves: bool = True
    confirm_seconds: SubSecond = Decimal("0.25")
    reading_seconds: SubSecond = Decimal("0.7")
    stale_seconds: Annotated[Decimal, Field(gt=0, le=600)] = Decimal(5)
    blind_seconds: Annotated[Decimal, Field(gt=0, le=600)] = Decimal(5)
    blind_cancel_seconds: Seconds = Decimal(60)
    orphan_seconds: Seconds = Decimal(10)
    unexplained_seconds: Annotated[Decimal, Field(gt=0, le=600)] = Decimal(15)
    unexplained_look_fraction: Fraction = Decimal("0.0002")
    unexplained_drop_of_limit: Fraction = Decimal("0.1")
    rate_outlier_fraction: Fraction = Decimal("0.01")
    rate_bound_fraction: Fraction = Decimal("0.01")
    rate_step_fraction: Fraction = Decimal("0.05")
    transit_seconds: Annotated[Decimal, Field(gt=0, le=2_592_000)] = Decimal(86_400)
    transit_fee_fraction: Fraction = Decimal("0.002")
    kill_at_step: str = ""


class StrategySettings(_Section):
    """
    One strategy on one instrument; ``params`` are the strategy's own.

    ``weight`` is its part of the equity allotted at its venue, ``style`` how its
    orders are worked. With less history than it asks for, or than its strategy needs,
    it decides nothing unless ``warmup_required`` is false.
    """

    name: str
    instrument: str
    bar_seconds: Annotated[int, Field(gt=0, le=86_400)] = 60
    warmup_days: Annotated[int, Field(ge=0, le=3650)] = 30
    warmup_required: bool = True
    params: dict[str, float | int | bool] = {}
    weight: Fraction = Decimal(1)
    style: Literal["market", "ioc", "post_only", "sliced"] = "market"

    @field_validator("instrument")
    @classmethod
    def _is_instrument(cls, value: str) -> str:
        return _instruments((value,))[0]


def _instruments(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            InstrumentId.parse(value)
        except SettingsError as error:
            raise ValueError(error) from None
    return values


Instruments = Annotated[tuple[str, ...], AfterValidator(_instruments)]


class FeedSettings(_Section):
    """What is fed besides the strategies' instruments."""

    instruments: Instruments = ()


class RecorderSettings(_Section):
    """
    What ``cqx recorder`` writes to the catalog; no instruments means all that are fed.

    ``enabled`` lets ``cqx up`` run it. Instruments named here are fed too. A segment
    of ticks is put into the catalog every ``segment_seconds``.
    """

    enabled: bool = False
    instruments: Instruments = ()
    segment_seconds: Annotated[float, Field(ge=1, le=3600)] = 60.0


class WorkingSettings(_Section):
    """
    How orders of the styles that take their time are worked.

    ``seconds`` is the time that resting and slicing may take, then the rest goes out
    as ``ends_as``; a resting order follows the price ``requotes_max`` times at most,
    and an IOC goes ``through_fraction`` through the best price.
    """

    seconds: Annotated[float, Field(gt=0, le=3600)] = 20.0
    slices: Annotated[int, Field(gt=0, le=40)] = 5
    requotes_max: Annotated[int, Field(gt=0, le=40)] = 10
    through_fraction: Fraction = Decimal("0.001")
    ends_as: Literal["market", "ioc"] = "market"


class MarketSettings(_Section):
    """Where a venue's public market data are; no key is ever used there."""

    rest: Web
    ws: WebSocket


class SimulatorSettings(_Section):
    """
    The simulator of a deployment; ``source = "venue"`` is a paper account.

    Then ``cqx up`` runs a simulator at the addresses of ``[venues]``, which must be of
    this machine, and it mirrors the real market data of ``venues`` (for those not
    named: the official public addresses). A market unheard of for ``stale_seconds``
    is halted.
    """

    source: Literal["none", "venue"] = "none"
    venues: dict[str, MarketSettings] = {}
    balance: Annotated[Decimal, Field(gt=0, lt=10**12)] = Decimal(100_000)
    stale_seconds: Annotated[float, Field(ge=1, le=600)] = 10.0
    admin_port: Annotated[int, Field(ge=0, le=65_535)] = 0


class JournalSettings(_Section):
    """
    Execution's journal; ``mirror`` is a PostgreSQL address that ``cqx mirror`` fills.

    As ``postgresql://user:password@host:5432/database``; empty: no mirror.
    """

    mirror: SecretStr = SecretStr("")


class ExecutionSettings(_Section):
    """
    How targets become orders.

    ``equity_fraction`` of the account's equity is allotted to each strategy, times its
    ``weight``; ``no_trade_band`` is the fraction of that below which a difference
    between wanted and held is left alone. Nothing is increased from a target older
    than ``target_bars_max`` bars. ``leverage_max``, ``net_max`` and ``instrument_max``
    bound a venue's gross, net and single exposure (``instrument_max_of`` that of the
    instruments it names), ``order_max`` one order that increases, as multiples of its
    equity, ``portfolio_gross_max`` and ``portfolio_net_max`` all venues together, as
    multiples of the equity of all. ``on_stop`` is what becomes of resting orders when
    execution is stopped. Of the instruments in ``adopt`` all that the venue holds
    counts as ours; elsewhere only what our own orders made.
    """

    account: str = "main"
    equity_fraction: Fraction = Decimal(1)
    no_trade_band: Annotated[Decimal, Field(ge=0, le=1)] = Decimal("0.02")
    leverage_max: Annotated[Decimal, Field(gt=0, le=20)] = Decimal(3)
    target_bars_max: Annotated[float, Field(gt=0, le=100)] = 3.0
    orders_per_minute_max: Annotated[int, Field(gt=0, le=600)] = 60
    price_collar_fraction: Fraction = Decimal("0.05")
    net_max: Annotated[Decimal, Field(gt=0, le=20)] | None = None
    instrument_max: Annotated[Decimal, Field(gt=0, le=20)] | None = None
    instrument_max_of: dict[str, Annotated[Decimal, Field(gt=0, le=20)]] = {}
    order_max: Annotated[Decimal, Field(gt=0, le=20)] = Decimal("1.5")
    portfolio_gross_max: Annotated[Decimal, Field(gt=0, le=20)] | None = None
    portfolio_net_max: Annotated[Decimal, Field(gt=0, le=20)] | None = None
    on_stop: Literal["cancel_increases", "cancel", "leave"] = "cancel_increases"
    adopt: tuple[str, ...] = ()
    working: WorkingSettings = WorkingSettings()


# Lower case, because the environment's names are.
ChannelName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class TelegramSettings(_Section):
    """
    The bot and the chat that alarms go to; no token means no Telegram.

    Commands are taken from a user of ``command_user_ids`` in a chat of
    ``command_chat_ids`` (empty: the chat of ``chat_id``). Without user ids only the
    person of a private chat may command.
    """

    base_url: str = "https://api.telegram.org"
    token: SecretStr = SecretStr("")
    token_file: Path | None = None
    chat_id: Annotated[str, Field(coerce_numbers_to_str=True)] = ""
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
    apprise: dict[ChannelName, SecretStr] = {}
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
    feeds: FeedSettings = FeedSettings()
    recorder: RecorderSettings = RecorderSettings()
    execution: ExecutionSettings = ExecutionSettings()
    journal: JournalSettings = JournalSettings()
    simulator: SimulatorSettings = SimulatorSettings()
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

    @model_validator(mode="after")
    def _is_paper_here(self) -> Settings:
        """Let no order of a paper account go anywhere else."""
        for name, venue in self.venues.items():
            for url in (venue.rest, venue.ws):
                if self.simulator.source == "venue" and not is_loopback(url):
                    msg = (
                        f"a paper account (simulator.source) trades on this machine "
                        f"alone, but venues.{name} points to {url}"
                    )
                    raise ValueError(msg)
        return self

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
    def simulator_state_path(self) -> Path:
        """A paper account's books."""
        return self.directory / "simulator" / "state"

    @property
    def recorder_directory(self) -> Path:
        """Ticks heard and not yet in the catalog."""
        return self.directory / "recorder"

    @property
    def nats_directory(self) -> Path:
        """JetStream's files."""
        return self.directory / "nats"

    @property
    def log_directory(self) -> Path:
        """One log file a process."""
        return self.directory / "logs"

    @property
    def snapshot_directory(self) -> Path:
        """States of strategies, bar by bar."""
        return self.directory / "snapshots"

    @property
    def kernel_cache(self) -> Path:
        """Compiled strategies."""
        return self.directory / "kernels"

    @property
    def fed_instruments(self) -> tuple[InstrumentId, ...]:
        """What is fed: of the strategies, of ``[feeds]`` and of ``[recorder]``."""
        names = [one.instrument for one in self.strategies]
        names += (*self.feeds.instruments, *self.recorder.instruments)
        return tuple(sorted({InstrumentId.parse(name) for name in names}))


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
    refuse_mistyped(os.environ, Settings.model_fields)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(first_sentence(error, file)) from None
    except UnreadSettingsError as error:
        raise SettingsError(unread(error)) from None
    base = file.parent.resolve()
    refuse_open_file(file, values, settings)
    return with_secret_files(settings, values, base).model_copy(
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
