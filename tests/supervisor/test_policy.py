import pytest

from cryptoquantix.supervisor.policy import RestartPolicy, exit_text


def test_delays_grow_to_a_bound_and_never_end() -> None:
    policy = RestartPolicy(first_seconds=0.5, factor=2.0, longest_seconds=10.0)
    delays = [policy.delay_seconds(failures) for failures in range(1, 8)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert policy.delay_seconds(10**9) == 10.0


def test_a_stable_minute_is_a_new_start() -> None:
    policy = RestartPolicy()
    assert policy.failures_after(0, 1.0) == 1
    assert policy.failures_after(5, 59.9) == 6
    assert policy.failures_after(5, 60.0) == 1


@pytest.mark.parametrize(
    ("code", "sentence", "text"),
    [
        (-9, "", "was killed by SIGKILL"),
        (-9, "a word before", "was killed by SIGKILL"),
        (-200, "", "was killed by signal 200"),
        (1, "no key", "stopped: no key"),
        (2, "", "ended with exit code 2"),
        (None, "", "ended"),
        (None, "no key", "stopped: no key"),
    ],
)
def test_an_end_is_one_sentence(code, sentence, text) -> None:
    assert exit_text(code, sentence) == text
