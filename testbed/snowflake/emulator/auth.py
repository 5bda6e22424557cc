"""Key-pair authentication: the token's signature and its claims."""

from __future__ import annotations

import base64
import hashlib
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

#: A token older than this is refused, whatever its `exp`.
MAX_AGE_S = 3_600
#: How far the client's clock may be ahead of ours.
LEEWAY_S = 60


class Refused(Exception):
    """A token that is refused, with Snowflake's code: 390144 invalid, 390318 expired."""

    def __init__(self, reason: str, code: str = "390144") -> None:
        super().__init__(f"JWT token is invalid. [{reason}]")
        self.code = code


def fingerprint(public_key: rsa.RSAPublicKey) -> str:
    """`SHA256:` and the base64 of the SHA-256 of the key's DER form."""
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()


class Users:
    """Users and their public keys, by `ACCOUNT.USER`. A user may have two keys, as while one replaces the other."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[str, rsa.RSAPublicKey]] = {}

    def add(self, account: str, user: str, public_key_pem: str) -> str:
        """Registers a key, and returns its fingerprint."""
        key = serialization.load_pem_public_key(public_key_pem.encode())
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
            raise ValueError("the key must be RSA, of 2048 bits at least")
        # A region after the account is no part of the name; dots of an account become hyphens.
        name = f"{account}.{user}".upper()
        self._keys.setdefault(name, {})[fingerprint(key)] = key
        return fingerprint(key)

    def check(self, header: str | None) -> str:
        """Checks an Authorization header, and returns the user. Raises Refused."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refused("there is no bearer token")
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.InvalidTokenError as error:
            raise Refused(str(error)) from None
        subject = claims.get("sub", "")
        keys = self._keys.get(subject)
        if keys is None:
            raise Refused(f"sub is no user: {subject!r}")
        issuer = str(claims.get("iss", ""))
        print_of = issuer.removeprefix(f"{subject}.")
        if print_of == issuer or print_of not in keys:
            raise Refused(f"iss names no public key of {subject}: {issuer!r}")
        try:
            claims = jwt.decode(
                token,
                key=keys[print_of],
                algorithms=["RS256"],
                options={"require": ["iss", "sub", "iat", "exp"], "verify_iat": False},
            )
        except jwt.ExpiredSignatureError:
            raise Refused("it has expired", "390318") from None
        except jwt.InvalidTokenError as error:
            raise Refused(str(error)) from None
        now = time.time()
        if claims["iat"] > now + LEEWAY_S:
            raise Refused("it was issued in the future")
        # Snowflake lets such a token live for an hour from `iat`; here a wrong `exp` shows at once.
        if claims["exp"] - claims["iat"] > MAX_AGE_S:
            raise Refused("it lives for more than an hour")
        return subject


def make_key_pair(folder: Path) -> str:
    """Writes `rsa_key.p8` (PKCS#8, PEM) and `rsa_key.pub`, unless they are there; returns the public key as PEM."""
    private, public = folder / "rsa_key.p8", folder / "rsa_key.pub"
    if not public.exists():
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        plain = serialization.NoEncryption()
        pem = serialization.Encoding.PEM
        private.touch(mode=0o600)
        private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return public.read_text()
