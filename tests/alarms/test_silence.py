from cryptoquantix.alarms.silence import Change, SilenceWatch
from cryptoquantix.core.clock import NS_PER_SECOND


def at(watch, seconds, *, heard):
    return watch.observe(is_heard=heard, monotonic_ns=int(seconds * NS_PER_SECOND))


def test_one_silence_is_one_alarm_and_one_all_clear() -> None:
    watch = SilenceWatch(10.0, 0)
    assert at(watch, 1, heard=True) is None
    assert at(watch, 10.9, heard=False) is None
    assert at(watch, 11, heard=False) == (Change.FELL_SILENT, 10.0)
    assert at(watch, 500, heard=False) is None
    assert at(watch, 501, heard=True) == (Change.HEARD_AGAIN, 500.0)
    assert at(watch, 502, heard=True) is None
    assert at(watch, 512, heard=False) == (Change.FELL_SILENT, 10.0)


def test_a_daemon_that_never_comes_up_is_an_alarm_too() -> None:
    watch = SilenceWatch(10.0, 0)
    assert at(watch, 9, heard=False) is None
    assert at(watch, 10, heard=False) == (Change.FELL_SILENT, 10.0)


def test_a_short_gap_is_no_alarm() -> None:
    watch = SilenceWatch(10.0, 0)
    for second in range(100):
        assert at(watch, second, heard=second % 9 == 0) is None
