"""
A certificate authority for this machine alone, and a certificate it signs.

It lets clients keep the venues' own addresses: the certificate carries their host
names, and whoever trusts the authority's file reaches the simulator by them.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cryptoquantix.core.errors import SettingsError

VENUE_OF_HOST: Final = {
    "fapi.binance.com": "binance",
    "api.binance.com": "binance",
    "fstream.binance.com": "binance",
    "ws-fapi.binance.com": "binance",
    "api.bybit.com": "bybit",
    "stream.bybit.com": "bybit",
    "www.deribit.com": "deribit",
}
_LOCAL: Final = ("localhost",)
_YEARS: Final = timedelta(days=3650)


class TlsFiles(NamedTuple):
    """The authority's certificate, for clients, and the server's own chain and key."""

    ca: Path
    chain: Path


def make_files(folder: Path, now: datetime) -> TlsFiles:
    """
    Write a new authority and certificate into ``folder`` and return the files.

    The authority's key is thrown away: nothing else can ever be signed with it.

    Raises
    ------
    SettingsError
        If the folder cannot be written.
    """
    files = TlsFiles(folder / "ca.pem", folder / "server.pem")
    authority, ca_key = _authority(now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(authority, ca_key, key, now)
    chain = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(files.ca, authority.public_bytes(serialization.Encoding.PEM), 0o644)
        _write(files.chain, secret + chain, 0o600)
    except OSError as error:
        msg = f"cannot write the TLS files to {folder}: {error.strerror}"
        raise SettingsError(msg) from None
    return files


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the context a server answers with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _authority(now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("cryptoquantix simulator, this machine only")
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(now)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
    )
    return builder.sign(key, hashes.SHA256()), key


def _certificate(
    authority: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    names: list[x509.GeneralName] = [
        x509.DNSName(host) for host in (*VENUE_OF_HOST, *_LOCAL)
    ]
    names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    ca_public = ca_key.public_key()
    return (
        _builder(now)
        .subject_name(_name("cryptoquantix simulator"))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_public),
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
    )


def _builder(now: datetime) -> x509.CertificateBuilder:
    now = now.astimezone(UTC)
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _YEARS)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _write(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    path.chmod(mode)
