"""Every service has its row, also one that is down, and each row says what is wrong."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import asdict, fields
from pathlib import Path

import msgspec
import pytest

from cryptoquantix.apps.heard import Heard, hear
from cryptoquantix.apps.mirror_progress import (
    MirrorProgress,
    read_progress,
    write_progress,
)
from cryptoquantix.apps.settings import Settings
from cryptoquantix.apps.status_reading import SILENT, trading
from cryptoquantix.apps.status_rows import (
    ExecutionRow,
    FeedRow,
    MirrorRow,
    PermitRow,
    PositionRow,
    ReadingRow,
    RecorderRow,
    ReportRow,
    StrategyRow,
    Trading,
)
from cryptoquantix.apps.status_view import Verdict, view
from cryptoquantix.bus.messages import (
    ExecutionStatus,
    FeedStatus,
    FollowedTarget,
    HeldPosition,
    RecorderStatus,
    StrategyStatus,
    StreamStatus,
    ToldReport,
)
from cryptoquantix.core.clock import NS_PER_MS, NS_PER_SECOND
from cryptoquantix.supervisor.record import ServiceReport, SupervisorReport
from paper_rig import free_port
from statuses import WELL

BUILD = "1+abc"
NOW = 1_800_000_000 * NS_PER_SECOND
BTC, COIN = "binance:BTCUSDT-PERP", "deribit:BTCUSD-PERP"
LOCAL = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1"}
SETTINGS = Settings(
    venues={"binance": LOCAL, "deribit": LOCAL},
    strategies=[
        {"name": "trend_breakout", "instrument": BTC, "bar_seconds": 60},
        {"name": "trend_breakout", "instrument": COIN, "bar_seconds": 60},
    ],
    recorder={"enabled": True},
    journal={"mirror": "postgresql://cqx:hidden@127.0.0.1/journal"},
)


def ago(ms: float) -> int:
    return NOW - int(ms * NS_PER_MS)


def feed(venue: str, **changes) -> FeedStatus:
    stream = StreamStatus("BTCUSDT-PERP", 1, NOW, 1, 1, 5, 1, 2, 0)
    status = FeedStatus(
        venue=venue,
        build=BUILD,
        session=1,
        time_ns=ago(300),
        connected=True,
        last_message_age_ns=50 * NS_PER_MS,
        gaps=1,
        reconnects=3,
        batches_dropped=0,
        messages_refused=0,
        latency_ns=12 * NS_PER_MS,
        streams=[stream, stream],
        clock_offset_ns=-4 * NS_PER_MS,
        clock_error_ns=NS_PER_MS,
    )
    return msgspec.structs.replace(status, **changes)


def strategy(instrument: str, **changes) -> StrategyStatus:
    status = StrategyStatus(
        strategy="trend_breakout",
        instrument=instrument,
        build=BUILD,
        time_ns=ago(400),
        state="live",
        is_stale=False,
        bars=100,
        bar_close_ns=ago(30_000),
        target=0.5,
        sequence=7,
        gaps=0,
        rebuilds=0,
        ticks=1000,
        ticks_late=0,
        messages_refused=0,
        targets_unpublished=0,
    )
    return msgspec.structs.replace(status, **changes)


def execution(**changes) -> ExecutionStatus:
    followed = [
        FollowedTarget("trend_breakout", one, ago(30_000), 7, 3, is_idle=True)
        for one in (BTC, COIN)
    ]
    held = [
        HeldPosition(BTC, "0.5", "BTC", "60000", "60100", "50", "USDT", 1, True),
        HeldPosition(COIN, "0", "USD", "", "", "", "BTC", 0, True),
    ]
    status = ExecutionStatus(
        time_ns=ago(200),
        build=BUILD,
        permit="trade",
        read_ns={"binance": ago(1_000), "deribit": ago(2_000)},
        targets=followed,
        permit_age_ns=800 * NS_PER_MS,
        positions=held,
    )
    return msgspec.structs.replace(status, **changes)


def recorder(**changes) -> RecorderStatus:
    status = RecorderStatus(ago(100), BUILD, 2, 5000, 9, 0, 0, ago(900), "")
    return msgspec.structs.replace(status, **changes)


def heard(**changes) -> Heard:
    parts = {
        "feeds": {name: feed(name) for name in ("binance", "deribit")},
        "strategies": {("trend_breakout", i): strategy(i) for i in (BTC, COIN)},
        "execution": execution(),
        "recorder": recorder(),
    }
    return Heard(**parts | changes)


def read(found: Heard, mirror=None, rows: int | None = 100, settings=SETTINGS):
    mirror = mirror or MirrorProgress(ago(500), 98, "")
    return trading(settings, found, mirror, rows, build=BUILD, now_ns=NOW)


def test_lags_ages_permit_and_positions_are_told() -> None:
    found = read(heard())
    assert list(found.problems()) == []
    assert found.feeds[0].lag_ms == 12
    assert (found.feeds[0].clock_offset_ms, found.feeds[0].clock_error_ms) == (-4, 1)
    assert (found.feeds[0].instruments, found.feeds[0].trades_missing) == (2, 4)
    row = found.strategies[0]
    assert (row.bar_age_ms, row.target, row.is_followed) == (30_000, 0.5, True)
    assert found.execution.permit.expires_ms == 4_200
    assert [one.age_ms for one in found.execution.readings] == [1_000, 2_000]
    assert found.recorder.backlog_ms == 800
    assert found.mirror.backlog_rows == 2
    assert [one.size for one in found.positions] == ["0.5", "0"]
    assert found.positions[1].venue == "deribit"


def test_what_is_down_has_its_row_and_says_so() -> None:
    silent = read(Heard(), MirrorProgress(ago(60_000), None, ""), None)
    assert [one.venue for one in silent.feeds] == ["binance", "deribit"]
    assert {one.problem for one in silent.feeds} == {SILENT}
    assert {one.problem for one in silent.strategies} == {SILENT}
    assert silent.execution.problem == silent.recorder.problem == SILENT
    assert "does not run" in silent.mirror.problem
    assert len(list(silent.problems())) == 7
    # Where the bus itself is away, that is said, and once.
    away = read(Heard("the bus at nats://x does not answer: connection refused"))
    assert list(away.problems()) == [away.bus_problem]
    assert away.feeds[0].problem == "not heard: see the bus"


async def test_a_bus_that_is_away_is_a_problem_told_at_once() -> None:
    settings = Settings(nats={"url": f"nats://user:hidden@127.0.0.1:{free_port()}"})
    found = await asyncio.wait_for(hear(settings), 2.0)
    assert "does not answer: connection refused" in found.problem
    assert "hidden" not in found.problem


async def test_a_server_that_is_no_bus_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        found = await hear(Settings(nats={"url": f"nats://127.0.0.1:{port}"}))
    assert "does not answer: no answer" in found.problem


def test_a_silent_strategy_still_has_the_bar_that_execution_follows() -> None:
    row = read(heard(strategies={})).strategies[0]
    assert (row.problem, row.bar_age_ms, row.target) == (SILENT, 30_000, None)


def test_nothing_is_missed_of_what_nobody_asked_for() -> None:
    found = trading(Settings(), Heard(), None, None, build=BUILD, now_ns=NOW)
    assert found == Trading("", (), (), None, (), None, None)
    assert list(found.problems()) == []


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"feeds": {"binance": feed("binance", connected=False)}}, "not connected"),
        (
            {"feeds": {"binance": feed("binance", last_message_age_ns=20 * 10**9)}},
            "nothing of the venue for 20 s",
        ),
        (
            {"feeds": {"binance": feed("binance", last_message_age_ns=-1)}},
            "not heard anything",
        ),
        (
            {"feeds": {"binance": feed("binance", clock_offset_ns=900 * NS_PER_MS)}},
            "clock is 900.0 ms from ours",
        ),
        (
            {"feeds": {"binance": feed("binance", latency_ns=3 * 10**9)}},
            "3000.0 ms old",
        ),
        ({"feeds": {"binance": feed("binance", build="2+x")}}, "runs build 2+x"),
        (
            {"strategies": {("trend_breakout", BTC): strategy(BTC, is_stale=True)}},
            "market data are stale",
        ),
        (
            {
                "strategies": {
                    ("trend_breakout", BTC): strategy(BTC, bar_close_ns=ago(200_000))
                }
            },
            "closed 200 s ago",
        ),
        (
            {
                "strategies": {
                    ("trend_breakout", BTC): strategy(
                        BTC, state="warming", bars=4326, warmup_bars=7 * 1440
                    )
                }
            },
            "3.0 of 7 days of history",
        ),
        ({"execution": execution(permit="")}, "daemon has not answered"),
        (
            {"execution": execution(permit_age_ns=20 * 10**9)},
            "daemon last answered it 20 s ago",
        ),
        ({"execution": execution(unreachable=["deribit"])}, "does not answer"),
        (
            {"execution": execution(read_ns={"binance": ago(40_000)})},
            "last read 40 s ago",
        ),
        ({"execution": execution(read_ns={"binance": 0})}, "not read yet"),
        ({"recorder": recorder(problem="ticks are not recorded: full")}, "full"),
        ({"recorder": recorder(synced_ns=ago(30_000))}, "up to 29 s ago"),
    ],
)
def test_each_thing_wrong_is_one_sentence(changed, sentence) -> None:
    assert any(sentence in one for one in read(heard(**changed)).problems())


def test_a_position_of_somebody_else_and_a_mirror_behind_are_told() -> None:
    foreign = HeldPosition("binance:X-PERP", "-3", "X", "1", "1", "0", "USDT", 0, False)
    found = read(heard(execution=execution(positions=[foreign])))
    assert any("-3 X is held" in one for one in found.problems())
    for progress, rows, sentence in (
        (MirrorProgress(ago(100), 5, ""), 9_000, "8995 rows behind"),
        (MirrorProgress(ago(100), None, "the server is away: refused"), 9, "away"),
    ):
        assert sentence in read(heard(), progress, rows).mirror.problem


def test_a_restriction_does_not_expire() -> None:
    found = read(heard(execution=execution(permit="reduce_only")))
    permit = found.execution.permit
    assert (permit.mode, permit.age_ms, permit.expires_ms) == ("reduce_only", 800, None)


def test_the_mirrors_progress_is_read_as_written(tmp_path) -> None:
    journal = tmp_path / "journal.sqlite"
    assert read_progress(journal) is None
    progress = MirrorProgress(1, 5, "away")
    write_progress(journal, progress)
    assert read_progress(journal) == progress
    journal.with_name("mirror.json").write_text("{")
    assert read_progress(journal) is None


def services(*names: str) -> SupervisorReport:
    rows = tuple(
        ServiceReport(n, "ready", 7, True, 0, ago(5_000), "", f"{n}.log") for n in names
    )
    return SupervisorReport(7, True, BUILD, rows)


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_fits_a_screen_of_any_width(width) -> None:
    names = ("nats", "risk", "feed-binance", "feed-deribit", "strategy", "execution")
    report = services(*names, "recorder", "mirror", "alarms")
    page = view(WELL, report, read(heard()), verdict=Verdict(), now_ns=NOW, width=width)
    lines = page.splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 48
    text = " ".join(page.split())
    for words in (
        *("expires in 4200 ms", "lag 12.0 ms, clock -4.0 ms", "2 rows behind"),
        *("800 ms behind, 5,000 ticks", "0.5 BTC", "60,100", "+0.500"),
    ):
        assert words in text, page


def test_what_is_wrong_is_red_and_a_stranger_to_cqx_up_has_a_row() -> None:
    found = read(heard(recorder=recorder(problem="the disk is full")))
    page = view(
        None, services("nats"), found, verdict=Verdict(), now_ns=NOW, is_color=True
    )
    assert "\x1b[1;31mthe disk is full" in page
    page = view(None, None, found, verdict=Verdict(), now_ns=NOW)
    assert "`cqx up` has not run here" in page
    assert "feed-binance" in page


def test_what_execution_reported_today_is_told_newest_first() -> None:
    reports = [
        ToldReport(number, ago(hours * 3_600_000), "foreign order", BTC, f"{hours} h")
        for number, hours in enumerate((25, 23, 6, 5, 4, 3, 2))
    ]
    found = read(heard(execution=execution(reports=reports)))
    assert [row.text for row in found.reports] == [
        f"{hours} h" for hours in (23, 6, 5, 4, 3, 2)
    ]
    page = view(WELL, None, found, verdict=Verdict(), now_ns=NOW)
    lines = [one for one in page.splitlines() if "foreign order" in one]
    assert [one.rpartition("  ")[2] for one in lines] == [f"{n} h" for n in range(2, 7)]


def test_why_execution_may_not_trade_is_told() -> None:
    why = "another holder has the permit: x"
    status = execution(permit="reduce_only", permit_reason=why)
    found = read(heard(execution=status))
    assert found.execution.permit.reason == why
    page = view(None, services("execution"), found, verdict=Verdict(), now_ns=NOW)
    assert f"permit reduce_only ({why})" in " ".join(page.split())


def test_the_rows_are_plain_json() -> None:
    assert msgspec.json.encode(asdict(read(heard())))


def test_every_field_of_the_rows_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    table = text[text.index("`--json` prints one object") :]
    rows = (FeedRow, StrategyRow, ExecutionRow, PermitRow, ReadingRow, PositionRow)
    for kind in (*rows, ReportRow, RecorderRow, MirrorRow, Trading):
        for item in fields(kind):
            name = item.name
            assert f"`{name}`" in table or f"`{name}[]`" in table, (kind, name)
