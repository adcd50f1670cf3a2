"""Certificates and keys as an authority would give them to a signer, made in a moment."""

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True)
class Signer:
    """Files of a signer: certificates, key, and the authority above."""

    certificate: str
    key: str
    authority: str


def make_signer(folder, name="Ada Example", private=None, days=(-1, 365)):
    """Write the files of a signer; the profile is that of C2PA 2.2, 14.5."""
    private = private or ec.generate_private_key(ec.SECP256R1())
    above = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Authority", above, "Authority", above, (-2, 3650), ["key_cert_sign"])
    own = _certificate(name, private, "Authority", above, days, ["digital_signature"])
    folder.mkdir(parents=True, exist_ok=True)
    files = Signer(*(str(folder / each) for each in ("chain.pem", "key.pem", "authority.pem")))
    _write(files.certificate, own.public_bytes(serialization.Encoding.PEM))
    _write(files.authority, root.public_bytes(serialization.Encoding.PEM))
    _write(files.key, key_pem(private, serialization.NoEncryption()))
    return files


def key_pem(private, locked):
    form = serialization.PrivateFormat.TraditionalOpenSSL
    if not hasattr(private, "curve") and not hasattr(private, "key_size"):
        form = serialization.PrivateFormat.PKCS8
    return private.private_bytes(serialization.Encoding.PEM, form, locked)


def _write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def _name(name):
    parts = {NameOID.ORGANIZATION_NAME: "Example Faces", NameOID.COMMON_NAME: name}
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts.items()])


def _certificate(name, private, issuer, above, days, uses):
    begin, end = (
        datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=day) for day in days
    )
    is_authority = "key_cert_sign" in uses
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.KeyUsage(**{use: use in uses for use in _USES}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), False
        )
    )
    if not is_authority:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        made = made.add_extension(purpose, critical=False)
    return made.sign(above, hashes.SHA256())
