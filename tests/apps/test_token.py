from stat import S_IMODE

import pytest
from pydantic import SecretStr

from cryptoquantix.apps.settings import RiskSettings, Settings
from cryptoquantix.apps.token import make_risk_token, risk_token, token_path
from cryptoquantix.core.errors import SettingsError


def settings_of(tmp_path, token="") -> Settings:
    return Settings(directory=tmp_path, risk=RiskSettings(token=SecretStr(token)))


def test_a_token_is_made_once_and_only_its_owner_reads_it(tmp_path) -> None:
    settings = settings_of(tmp_path)
    assert risk_token(settings) == ""
    token = make_risk_token(settings)
    assert len(token) >= 32
    assert make_risk_token(settings) == risk_token(settings) == token
    assert S_IMODE(token_path(settings).stat().st_mode) == 0o600


def test_a_set_token_goes_before_a_made_one(tmp_path) -> None:
    make_risk_token(settings_of(tmp_path))
    assert risk_token(settings_of(tmp_path, "set")) == "set"
    assert make_risk_token(settings_of(tmp_path, "set")) == "set"


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path) -> None:
    (tmp_path / "risk").write_text("a file where a directory must be")
    with pytest.raises(SettingsError, match="token"):
        make_risk_token(settings_of(tmp_path))
