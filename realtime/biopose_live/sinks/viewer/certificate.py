"""A self-made certificate for viewers on other devices, kept so that a browser has to be told once only.

ECDSA on P-256 with this machine's names and addresses (RFC 5280, section 4.2.1.6); key and certificate are in one file
that this user alone can read.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from biopose_live.errors import EXIT_SINK, UserError

FILE = "viewer.pem"
LIFE = timedelta(days=397)  # the longest that browsers take
RENEWED = timedelta(days=30)  # before its end


def state_folder() -> Path:
    """-> where this program keeps what it needs again."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "biopose-live"


def self_made(folder: Path, names: Sequence[str]) -> Path:
    """-> the file with key and certificate for these names and addresses, made anew when it is none or old.

    Raises UserError (sink) when it cannot be kept.
    """
    path = folder / FILE
    try:
        if not _is_good(path, names):
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, _make(names))
    except OSError as error:
        raise UserError(
            f"The viewer's certificate cannot be kept in {folder} ({error.strerror}): make that folder writable, or "
            f"leave https:// out of --view.",
            EXIT_SINK,
        ) from error
    return path


def fingerprint(path: Path) -> str:
    """-> SHA-256 of the certificate, as browsers show it."""
    digest = x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def tls_context(certificate: str | None) -> ssl.SSLContext | None:
    """-> how a server speaks TLS with this file of key and certificate, None without one."""
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def _is_good(path: Path, names: Sequence[str]) -> bool:
    try:
        data = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(data)
        serialization.load_pem_private_key(data, None)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        return False
    known = {*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))}
    return set(names) <= known and certificate.not_valid_after_utc - datetime.now(UTC) > RENEWED


def _make(names: Sequence[str]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "biopose-live viewer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret + certificate.public_bytes(serialization.Encoding.PEM)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and never readable by others."""
    scratch = path.with_suffix(f".{os.getpid()}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
