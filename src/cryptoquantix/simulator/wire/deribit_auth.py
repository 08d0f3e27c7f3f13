"""
Who is calling: signatures over raw bytes, nonces, tokens and scopes.

A nonce is good for one request, and once more for one login: a client that counts
milliseconds may use the same one for both. A signature is of the method, the path with
its query and the body exactly as they came; its time may be a minute old at most.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from cryptoquantix.simulator.wire.deribit_errors import (
    DeribitError,
    invalid_credentials,
    unauthorized,
)
from cryptoquantix.simulator.wire.deribit_limits import SESSIONS_MAX
from cryptoquantix.simulator.wire.deribit_requests import Json, Parameters
from cryptoquantix.simulator.wire.messages import Key

VALID_MS = 60_000
TOKEN_SECONDS = 31_536_000
NONCES_KEPT = 200_000
TOKENS_KEPT = 10_000
# Neither key may withdraw. A key of the role "read" may not trade.
SCOPES = {"read": "account:read trade:read wallet:none"}
SCOPE_DEFAULT = "account:read trade:read_write wallet:none"
_FIELD = re.compile(r"\s*(id|ts|sig|nonce)=([^,\s]{1,200})\s*\Z")
_SCHEME = "deri-hmac-sha256"
_WORDS = frozenset(
    [
        "account:none",
        "account:read",
        "account:read_write",
        "trade:none",
        "trade:read",
        "trade:read_write",
        "wallet:none",
        "wallet:read",
        "wallet:read_write",
        "connection",
        "mainaccount",
    ]
)


@dataclass(frozen=True, slots=True)
class Login:
    """A checked caller and what the call may do."""

    key: Key
    scope: str

    def may(self, right: str) -> bool:
        """Return whether the scope covers ``trade:read`` and the like."""
        area, _, level = right.partition(":")
        return f"{area}:read_write" in self.scope or (
            level == "read" and f"{area}:read" in self.scope.split()
        )


class Gate:
    """The keys of a venue, the nonces they have used and the tokens given out."""

    def __init__(
        self, keys: Iterable[Key], *, token_seed: str, is_limited: bool = False
    ) -> None:
        self._is_limited = is_limited
        self._named: dict[str, set[str]] = {}
        self._keys = {key.key: key for key in keys}
        self._seed = token_seed
        self._made = 0
        self._nonces: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._access: OrderedDict[str, tuple[Login, int]] = OrderedDict()
        self._refresh: OrderedDict[str, tuple[Login, int]] = OrderedDict()

    def keys_of(self, account_id: int) -> list[Key]:
        """Return the keys that open an account."""
        return [k for k in self._keys.values() if k.account_id == account_id]

    def by_header(
        self, header: str, method: str, target: str, body: bytes, *, time_ns: int
    ) -> Login | None:
        """
        Return whom an ``Authorization`` header names, None without one.

        Raises
        ------
        DeribitError
            13004 for a wrong key, secret, signature, time or used nonce; 13009 for
            an unknown token.
        """
        if not header:
            return None
        scheme, _, rest = header.partition(" ")
        if scheme.lower() == _SCHEME:
            return self._signed(rest, method, target, body, time_ns=time_ns)
        if scheme.lower() == "bearer":
            return self.by_token(rest.strip(), time_ns)
        if scheme.lower() == "basic":
            return self._basic(rest)
        raise invalid_credentials()

    def by_token(self, token: str, time_ns: int) -> Login:
        """Return whom an access token was given to; 13009 if nobody."""
        found = self._access.get(token)
        if found is None or time_ns >= found[1]:
            raise unauthorized(reason="invalid_token")
        return found[0]

    def login(self, parameters: Parameters, time_ns: int) -> tuple[Login, Json]:
        """Carry out ``public/auth`` and return who it is and the answer."""
        grant = parameters.choice(
            "grant_type", {"client_credentials", "client_signature", "refresh_token"}
        )
        if grant == "refresh_token":
            token = parameters.text("refresh_token")
            found = self._refresh.pop(token, None)
            if found is None or time_ns >= found[1]:
                raise invalid_credentials()
            login = found[0]
        else:
            key = self._key(parameters.text("client_id"))
            if grant == "client_credentials":
                _compare(key.secret, parameters.text("client_secret"))
            else:
                self._client_signature(key, parameters, time_ns)
            scope = granted_scope(scope_of(key), parameters.text("scope", ""))
            self._name_session(key, scope)
            login = Login(key, scope)
        return login, self._give(login, time_ns)

    def revoke(self) -> int:
        """Let every token expire and return how many access tokens there were."""
        count = len(self._access)
        self._access.clear()
        self._named.clear()
        self._refresh.clear()
        return count

    def _name_session(self, key: Key, scope: str) -> None:
        """Count a named session; the venue allows a key so many of them."""
        names = self._named.setdefault(key.key, set())
        wanted = {word for word in scope.split() if word.startswith("session:")}
        if self._is_limited and len(names | wanted) > SESSIONS_MAX:
            data = {"reason": f"more than {SESSIONS_MAX} sessions of this key"}
            raise DeribitError(13021, "forbidden", data)
        if len(names) < TOKENS_KEPT:
            names |= wanted

    def _give(self, login: Login, time_ns: int) -> Json:
        expiry_ns = time_ns + TOKEN_SECONDS * 1_000_000_000
        access, refresh = self._token(), self._token()
        for store, token in ((self._access, access), (self._refresh, refresh)):
            store[token] = login, expiry_ns
            while len(store) > TOKENS_KEPT:
                store.popitem(last=False)
        return {
            "access_token": access,
            "expires_in": TOKEN_SECONDS,
            "refresh_token": refresh,
            "scope": login.scope,
            "token_type": "bearer",
            "enabled_features": [],
        }

    def _token(self) -> str:
        self._made += 1
        made = hmac.new(self._seed.encode(), str(self._made).encode(), hashlib.sha256)
        return f"{1_600_000_000 + self._made}.1{made.hexdigest()[:32]}"

    def _key(self, client_id: str) -> Key:
        key = self._keys.get(client_id)
        if key is None:
            raise invalid_credentials()
        return key

    def _basic(self, encoded: str) -> Login:
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise invalid_credentials() from None
        client_id, _, secret = text.partition(":")
        key = self._key(client_id)
        _compare(key.secret, secret)
        return Login(key, scope_of(key))

    def _signed(
        self, rest: str, method: str, target: str, body: bytes, *, time_ns: int
    ) -> Login:
        fields: dict[str, str] = {
            found[1]: found[2]
            for part in rest.split(",")
            if (found := _FIELD.match(part))
        }
        if len(fields) != 4 or rest.count(",") != 3:
            raise invalid_credentials()
        key = self._key(fields["id"])
        head = f"{fields['ts']}\n{fields['nonce']}\n{method}\n{target}\n"
        _compare(_sign(key, _bytes(head) + body + b"\n"), fields["sig"].lower())
        self._use(key, fields["ts"], f"request {fields['nonce']}", time_ns)
        return Login(key, scope_of(key))

    def _client_signature(self, key: Key, parameters: Parameters, time_ns: int) -> None:
        stamp = parameters.text("timestamp")
        nonce, data = parameters.text("nonce", ""), parameters.text("data", "")
        wanted = _sign(key, _bytes(f"{stamp}\n{nonce}\n{data}"))
        _compare(wanted, parameters.text("signature").lower())
        self._use(key, stamp, f"login {nonce}", time_ns)

    def _use(self, key: Key, stamp: str, nonce: str, time_ns: int) -> None:
        """Check the time of a signature and use up its nonce."""
        now_ms = time_ns // 1_000_000
        if not stamp.isascii() or not stamp.isdecimal() or len(stamp) > 18:
            raise invalid_credentials()
        if abs(now_ms - int(stamp)) > VALID_MS:
            raise DeribitError(
                13004, "invalid_credentials", {"reason": "timestamp is too far off"}
            )
        nonces = self._nonces
        while nonces and (
            len(nonces) > NONCES_KEPT
            or next(iter(nonces.values())) < now_ms - 2 * VALID_MS
        ):
            nonces.popitem(last=False)
        if (key.key, nonce) in nonces:
            raise DeribitError(
                13004, "invalid_credentials", {"reason": "nonce was used before"}
            )
        nonces[key.key, nonce] = now_ms


def scope_of(key: Key) -> str:
    """Return what a key may do at most."""
    return SCOPES.get(key.role, SCOPE_DEFAULT)


def granted_scope(allowed: str, wanted: str) -> str:
    """
    Return the scope a login gets: what the key may, narrowed to what it asked for.

    Examples
    --------
    >>> granted_scope("account:read trade:read_write wallet:none", "trade:read")
    'account:read trade:read wallet:none'
    """
    rights = dict(word.split(":", 1) for word in allowed.split() if ":" in word)
    extra = [word for word in allowed.split() if ":" not in word]
    order = ("none", "read", "read_write")
    for word in wanted.split():
        area, _, level = word.partition(":")
        if word in _WORDS and area in rights:
            rights[area] = min(rights[area], level, key=order.index)
        elif word == "connection" or area == "session":
            extra.append(word)
    return " ".join([*(f"{a}:{level}" for a, level in rights.items()), *extra])


def _sign(key: Key, payload: bytes) -> str:
    return hmac.new(key.secret.encode(), payload, hashlib.sha256).hexdigest()


def _compare(wanted: str, sent: str) -> None:
    if not hmac.compare_digest(_bytes(wanted), _bytes(sent)):
        raise invalid_credentials()


def _bytes(text: str) -> bytes:
    # Headers may carry bytes that are no text: they match no signature.
    return text.encode(errors="replace")
