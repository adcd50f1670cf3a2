"""Signed statements on files: C2PA manifests in a file of their own, beside what they vouch for.

Parquet has no place for a manifest, so that one is kept as C2PA's external manifest
(specification 2.2, 11.4): a file of the same name, ending in `.c2pa`, which holds the SHA-256 of
the whole file (`c2pa.hash.data`) under the signer's signature. Each signing draws a new identifier
and new salts, and may hold a time: manifests are no part of the data, its checksums or identity.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from synthgen.dataset.marks.xmp import TOOL, VOCABULARY
from synthgen.errors import MissingDependencyError, SigningError
from synthgen.foreign import excerpt, first_line, regular_file
from synthgen.installation import install_command

PARQUET = "application/vnd.apache.parquet"

_LARGEST_PEM = 1 << 20
"""Bytes of a file of certificates or a key that is read."""

_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
"""Elliptic curve → C2PA's name of the algorithm that signs with it."""

_UNTRUSTED = "signingCredential.untrusted"
"""Status of C2PA for a certificate that no known authority stands behind."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A person or an organisation that signs.

    Attributes:
        certificates: the signer's certificate and those above it, without the root, PEM.
        key: the private key that belongs to the first, PKCS #8, PEM.
        algorithm: C2PA's name of what the key signs by.
        name: the common name of the certificate.
        serial: its serial number, in decimal.
    """

    certificates: bytes
    key: bytes
    algorithm: str
    name: str
    serial: str

    def __repr__(self) -> str:
        return f"Identity({self.name!r})"  # a key is shown nowhere


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest, held against the file that it vouches for.

    Attributes:
        signer: common name of the certificate that signed.
        organisation: the organisation that the certificate names.
        serial: the certificate's serial number, in decimal.
        source: last part of the digital source that it states; None where it states none.
        tool: the program that made the claim.
        time: when it was signed, as a time authority says; None without one.
        trusted: True where the certificate comes from an authority that the reader named.
        problems: C2PA's sentences on what does not hold; none: signature and file fit.
    """

    signer: str
    organisation: str
    serial: str
    source: str | None
    tool: str | None
    time: str | None
    trusted: bool
    problems: tuple[str, ...]


def read_identity(certificates: str | Path, key: str | Path) -> Identity:
    """Read a signer's certificates and key.

    Args:
        certificates: PEM, the signer's own first, then those above it.
        key: PEM of the private key, without a password: EC P-256, P-384 or P-521, Ed25519 or RSA.

    Raises:
        SigningError: if a file cannot be read, is no such thing, or the key is another's.
        MissingDependencyError: if c2pa-python is not installed.
    """
    _library()  # brings cryptography
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    chain = _pem(certificates, "certificate")
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise SigningError(f"{excerpt(certificates)} holds no certificate in PEM form") from error
    try:
        private = serialization.load_pem_private_key(_pem(key, "key"), None)
    except TypeError as error:
        raise SigningError(
            f"key {excerpt(key)} is locked by a password; write it without one to a file that "
            "only you can read (openssl pkcs8 -topk8 -nocrypt)"
        ) from error
    except ValueError as error:
        raise SigningError(f"{excerpt(key)} holds no private key in PEM form") from error
    plain, spki = serialization.PublicFormat, serialization.Encoding.DER
    form = plain.SubjectPublicKeyInfo
    if private.public_key().public_bytes(spki, form) != first.public_key().public_bytes(spki, form):
        raise SigningError(
            f"key {excerpt(key)} does not belong to the first certificate of "
            f"{excerpt(certificates)}, which is {_common_name(first)}'s"
        )
    return Identity(
        certificates=chain,
        key=private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        algorithm=_algorithm(private, key),
        name=_common_name(first),
        serial=str(first.serial_number),
    )


def sign(
    identity: Identity,
    file: BinaryIO,
    title: str,
    source: str,
    version: str,
    time_authority: str | None = None,
) -> bytes:
    """Return a manifest that binds a Parquet file to a signer and to its digital source.

    Args:
        identity: who signs.
        file: the file, which is read once, from its beginning.
        title: its name, as readers are shown it.
        source: term of IPTC's vocabulary.
        version: of this program.
        time_authority: URL of an RFC 3161 authority that states the time; None: no time, and the
            signature is worth as much as the certificate lives.

    Raises:
        SigningError: if the certificate may not sign, or the authority does not answer.
    """
    c2pa = _library()
    action = {"action": "c2pa.created", "digitalSourceType": VOCABULARY + source}
    claim = {
        "claim_generator_info": [{"name": TOOL, "version": version}],
        "title": title,
        "format": PARQUET,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    info = c2pa.C2paSignerInfo(
        identity.algorithm, identity.certificates, identity.key, time_authority
    )
    try:
        with (
            c2pa.Signer.from_info(info) as signer,
            c2pa.Builder.from_json(json.dumps(claim)) as builder,
            open(os.devnull, "w+b") as nowhere,
        ):
            builder.set_no_embed()
            return builder.sign(signer, PARQUET, file, nowhere)
    except c2pa.C2paError as error:
        with_whom = f" with the time of {excerpt(time_authority)}" if time_authority else ""
        raise SigningError(
            f"{title} cannot be signed by {identity.name}{with_whom}: {_said(error)}"
        ) from error


def read_manifest(manifest: bytes, file: BinaryIO, anchors: bytes | None = None) -> Manifest:
    """Read a manifest, and hold signature and checksums against the file; nothing is fetched.

    Args:
        manifest: the bytes of the file that ends in `.c2pa`.
        file: the file that it vouches for.
        anchors: certificates of authorities whom the reader trusts, PEM; None: nobody.

    Raises:
        SigningError: if the bytes are no manifest at all.
        MissingDependencyError: if c2pa-python is not installed.
    """
    c2pa = _library()
    fetches = {"remote_manifest_fetch": False, "ocsp_fetch": False}
    settings: dict[str, Any] = {"version": 1, "verify": {"verify_trust": True, **fetches}}
    if anchors is not None:
        settings["trust"] = {"user_anchors": anchors.decode()}
    try:
        with (
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader(PARQUET, file, manifest, context) as reader,
        ):
            return _manifest(json.loads(reader.json()))
    except (c2pa.C2paError, LookupError, ValueError) as error:
        raise SigningError(f"it is no manifest of C2PA that can be read: {_said(error)}") from error


def read_anchors(path: str | Path) -> bytes:
    """Read the certificates of authorities that are trusted, PEM.

    Raises:
        SigningError: if the file cannot be read or holds no certificate.
        MissingDependencyError: if c2pa-python is not installed.
    """
    _library()
    from cryptography import x509

    data = _pem(path, "certificate")
    try:
        x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise SigningError(f"{excerpt(path)} holds no certificate in PEM form") from error
    return data


def _manifest(said: Mapping[str, Any]) -> Manifest:
    active = said["manifests"][said["active_manifest"]]
    signature = active["signature_info"]
    failures = [
        status for status in said.get("validation_status", []) if status["code"] != _UNTRUSTED
    ]
    problems = [
        f"{status['code']} ({excerpt(status.get('explanation', ''))})" for status in failures
    ]
    if said["validation_state"] == "Invalid" and not problems:
        problems = ["C2PA calls it invalid"]
    tools = active.get("claim_generator_info") or [{}]
    return Manifest(
        signer=str(signature.get("common_name") or "somebody without a name"),
        organisation=str(signature.get("issuer") or ""),
        serial=str(signature.get("cert_serial_number") or ""),
        source=_source(active),
        tool=tools[0].get("name"),
        time=signature.get("time"),
        trusted=said["validation_state"] == "Trusted",
        problems=tuple(problems),
    )


def _source(manifest: Mapping[str, Any]) -> str | None:
    for assertion in manifest.get("assertions", []):
        if assertion["label"].startswith("c2pa.actions"):
            for action in assertion["data"].get("actions", []):
                if source := action.get("digitalSourceType"):
                    return str(source).removeprefix(VOCABULARY)
    return None


def _algorithm(private: Any, key: str | Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        return _CURVES[private.curve.name]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= 2048:
        return "ps256"
    raise SigningError(
        f"key {excerpt(key)} is of a kind that C2PA does not sign with; it must be of EC P-256, "
        "P-384 or P-521, Ed25519, or RSA of at least 2048 bits"
    )


def _common_name(certificate: Any) -> str:
    from cryptography.x509.oid import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return excerpt(names[0].value) if names else "somebody without a name"


def _pem(path: str | Path, what: str) -> bytes:
    regular_file(path, what, SigningError, _LARGEST_PEM)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SigningError(f"{what} {excerpt(path)} cannot be read: {error.strerror}") from error


def _said(error: Exception) -> str:
    """Return what C2PA says, without the kind of error that it puts before it."""
    return first_line(error).partition(": ")[2] or first_line(error)


def _library() -> Any:
    try:
        import c2pa
    except ImportError as error:
        raise MissingDependencyError(
            f"C2PA manifests need the package c2pa-python; {install_command('c2pa')} brings it"
        ) from error
    return c2pa
