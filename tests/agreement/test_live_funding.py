"""A strategy that decides by funding: live targets are research's, to the bit."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import polars as pl
import pytest

from agreement.live_path import Services
from cryptoquantix.core.clock import SystemClock
from cryptoquantix.core.instrument import InstrumentId, Venue
from cryptoquantix.data.schema import BARS, FUNDING
from cryptoquantix.live.bar_seam import fill_flat
from cryptoquantix.research.history import from_frame
from cryptoquantix.research.passes import load_passes
from cryptoquantix.strategies import registry
from cryptoquantix.venues.market_rest import MarketRest
from live.test_strategy_killed import heard_targets
from processes import start_nats, start_simulator

SPEED = 7_200.0  # eight hours, and so a charge, every four seconds
NAMES = ("binance:BTCUSDT-PERP", "bybit:BTCUSDT-PERP")
PARAMS = {"bars": 300}
EIGHT_HOURS_NS = 8 * 3600 * 10**9
CHARGES = {
    Venue.BINANCE: "/fapi/v1/fundingRate?symbol=BTCUSDT&limit=1000",
    Venue.BYBIT: "/v5/market/funding/history?category=linear&symbol=BTCUSDT&limit=200",
}


COMMANDS = {
    "binance": ("feed", "binance"),
    "bybit": ("feed", "bybit"),
    "strategy": ("strategy",),
}


def settings(nats, simulator) -> str:
    lines = [f'[nats]\nurl = "{nats.url}"']
    for name, at in simulator.line["venues"].items():
        lines.append(f'[venues.{name}]\nrest = "{at["rest"]}"\nws = "{at["ws"]}"')
    lines += [
        f'[[strategies]]\nname = "agreement.carry"\ninstrument = "{name}"\n'
        f"warmup_days = 1\nparams = {{ bars = {PARAMS['bars']} }}"
        for name in NAMES
    ]
    return "\n".join(lines)


def charges(simulator, venue) -> pl.DataFrame:
    """What the venue says it charged, read from its documented answer alone."""
    url = simulator.line["venues"][venue.value]["rest"] + CHARGES[venue]
    with urllib.request.urlopen(url, timeout=10) as answer:
        value = json.load(answer)
    if venue is Venue.BINANCE:
        pairs = [(row["fundingTime"], row["fundingRate"]) for row in value]
    else:
        rows = reversed(value["result"]["list"])
        pairs = [(int(r["fundingRateTimestamp"]), r["fundingRate"]) for r in rows]
    columns = {
        "time": [ms * 10**6 for ms, _ in pairs],
        "rate": [float(r) for _, r in pairs],
    }
    return pl.DataFrame(columns, schema=FUNDING)


async def researched(simulator, name, target, tmp_path):
    """What research decides at each bar up to a target; how often it was charged."""
    instrument = InstrumentId.parse(name)
    rest_url = simulator.line["venues"][instrument.venue.value]["rest"]
    async with MarketRest(rest_url, SystemClock(), instrument.venue) as rest:
        bars = fill_flat(
            await rest.bars("BTCUSDT", 60, target.warmup_from_ns, target.bar_close_ns),
            60 * 10**9,
        )
    names = ("open_time", "close_time", "open", "high", "low", "close", "volume")
    frame = pl.DataFrame(
        {column: [bar[i] for bar in bars] for i, column in enumerate(names)},
        schema={column: BARS[column] for column in names},
    )
    history = from_frame(frame, charges(simulator, instrument.venue))
    strategy = registry.load("agreement.carry")
    passes = load_passes(strategy, tmp_path / "kernels")
    params = strategy.parse_params(PARAMS)
    targets = passes.targets(history, params, history.close.size).tolist()
    closes = history.close_time_ns.tolist()
    return dict(zip(closes, targets, strict=True)), int(
        (history.funding_rate != 0).sum()
    )


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_live_targets_by_funding_equal_those_of_research(tmp_path):
    options = ["--venues", "binance,bybit", "--generate", "11", "--instruments"]
    options += ["BTCUSDT", "--speed", str(SPEED), "--no-rate-limits"]
    with start_nats(tmp_path) as nats, start_simulator(tmp_path, *options) as simulator:
        config = tmp_path / "cryptoquantix.toml"
        config.write_text(settings(nats, simulator))
        services = Services(config, COMMANDS)
        try:
            async with heard_targets(nats.url) as heard:
                for name in COMMANDS:
                    await services.start(name)
                await passed(services, heard, charged=1)
                await services.kill("strategy")
                await services.start("strategy")
                await passed(services, heard, charged=1)
                simulator.admin("/tape", {"paused": True})
                await asyncio.sleep(0.5)
        finally:
            print((await services.stop())[-8_000:])
        for name, targets in zip(
            NAMES, (heard[key] for key in sorted(heard)), strict=True
        ):
            assert {target.instrument for target in targets} == {name}
            assert len({target.warmup_from_ns for target in targets}) == 1
            expected, charged = await researched(simulator, name, targets[-1], tmp_path)
            assert charged >= 2
            found = {t.bar_close_ns: t.target for t in targets}
            assert found == {close: expected[close] for close in found}
            assert len(set(found.values())) > 100


async def passed(services, heard, charged):
    """Wait until both have decided some bars after as many more funding times."""

    def times():
        return {
            key: targets[-1].bar_close_ns // EIGHT_HOURS_NS
            for key, targets in heard.items()
        }

    async with asyncio.timeout(60):
        while len(heard) < len(NAMES):
            services.check()
            await asyncio.sleep(0.02)
        before = times()
        while any(now < before[key] + charged for key, now in times().items()):
            services.check()
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
