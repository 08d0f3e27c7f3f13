"""
Which rights make a venue's key unfit to trade with; it asks no venue.

The daemon and execution hold their keys to the same rules: a key trades, and cannot
move money out, not even to another account of the same owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_BINANCE_OUT: Final = (
    "enableWithdrawals",
    "enableInternalTransfer",
    "permitsUniversalTransfer",
)
_BYBIT_OUT: Final = frozenset({"Withdraw", "AccountTransfer", "SubMemberTransfer"})


def binance_unfit(rights: Mapping[str, Any]) -> str:
    """Return what is wrong with a key of these ``apiRestrictions``; empty: nothing."""
    for name in _BINANCE_OUT:
        if _is(rights, name):
            return (
                f"may move money out ({name}): make one for futures without that right"
            )
    if "enableFutures" in rights and not _is(rights, "enableFutures"):
        return "may not trade futures: it could not close anything"
    return ""


def bybit_unfit(rights: Mapping[str, Any]) -> str:
    """Return what is wrong with a key of this ``query-api``; empty: nothing."""
    permissions: Mapping[str, list[str]] = rights["permissions"]
    held = {right for found in permissions.values() for right in found or ()}
    out = sorted(held & _BYBIT_OUT)
    if out:
        return f"may move money out ({out[0]}): make one for contracts alone"
    trades = {"Order", "Position"} <= set(permissions.get("ContractTrade") or ())
    if str(rights.get("readOnly")) == "1" or not trades:
        return "may not trade contracts: it could not close anything"
    return ""


def deribit_unfit(scope: str) -> str:
    """Return what is wrong with a key of this ``scope``; empty: nothing."""
    rights = dict(word.partition(":")[::2] for word in scope.split())
    if rights.get("wallet", "none") == "read_write":
        return (
            "may move money out (wallet:read_write): make one with wallet:none or "
            "wallet:read"
        )
    if rights.get("trade") != "read_write":
        return "may not trade (trade:read_write): it could not close anything"
    if rights.get("account") not in {"read", "read_write"}:
        return "may not read the account (account:read): it could not see anything"
    return ""


def _is(rights: Mapping[str, Any], name: str) -> bool:
    return str(rights.get(name)).lower() == "true"
