import os

from cryptoquantix.supervisor import service
from cryptoquantix.supervisor.record import read_record, write_record
from cryptoquantix.supervisor.service import (
    Condition,
    ServiceState,
    bound_log,
    last_sentence,
)


def test_a_log_and_its_predecessor_stay_bounded(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(service, "_LOG_BYTES_MAX", 1000)
    log = tmp_path / "one.log"
    bound_log(log)
    with log.open("ab") as file:
        file.write(b"x" * 1001)
        file.flush()
        bound_log(log)
        assert log.stat().st_size == 0
        file.write(b"later")
    assert log.read_bytes() == b"later"
    assert (tmp_path / "one.log.1").stat().st_size == 1001


def test_the_last_sentence_is_of_this_run_alone(tmp_path) -> None:
    log = tmp_path / "one.log"
    assert last_sentence(log, 0) == ""
    log.write_text("cqx: of the run before\n")
    offset = log.stat().st_size
    assert last_sentence(log, offset) == ""
    with log.open("a") as file:
        file.write("noise\ncqx: no key\nmore noise\n")
    assert last_sentence(log, offset) == "no key"


def test_a_record_says_who_is_alive(tmp_path) -> None:
    path = tmp_path / "up" / "services.json"
    assert read_record(path) is None
    gone = ServiceState("feed", Condition.READY, pid=2**22 + 1, started_ticks=5)
    write_record(path, "1+abc", [gone, ServiceState("nats")])
    record = read_record(path)
    assert record is not None
    assert (record.pid, record.is_alive) == (os.getpid(), True)
    assert [(s.name, s.is_alive) for s in record.services] == [
        ("feed", False),
        ("nats", False),
    ]
    path.write_text("{")
    assert read_record(path) is None
