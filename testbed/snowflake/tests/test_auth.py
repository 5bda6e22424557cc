"""What the token must say."""

from __future__ import annotations

import time

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.client import Emulated

REPORT = "/v1/data/pipes/B.RAW.T/insertReport"


class Tokens(Emulated):
    def answer(self, key=None, **claims) -> tuple[int, str]:
        token = jwt.encode(self.client.claims() | claims, key or self.client.key, "RS256")
        status, answer = self.client.call("GET", REPORT, token=token)
        return status, answer.get("code", "")

    def test_a_right_token_is_taken(self) -> None:
        self.assertEqual(self.answer(), (200, ""))

    def test_wrong_ones_are_refused(self) -> None:
        now = int(time.time())
        foreign = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        subject = self.client.subject
        print_ = self.client.claims()["iss"].removeprefix(f"{subject}.")
        for name, wrong in {
            "another key's signature": self.answer(foreign),
            "another user": self.answer(sub="RIVERBANK-TEST.NOBODY"),
            "lower case": self.answer(sub=subject.lower(), iss=f"{subject.lower()}.{print_}"),
            "no fingerprint": self.answer(iss=subject),
            "another fingerprint": self.answer(iss=f"{subject}.SHA256:{'A' * 43}="),
            "the prefix is missing": self.answer(iss=f"{subject}.{print_.removeprefix('SHA256:')}"),
            "more than an hour": self.answer(exp=now + 3_700),
            "from the future": self.answer(iat=now + 600, exp=now + 700),
        }.items():
            self.assertEqual(wrong, (401, "390144"), name)
        self.assertEqual(self.answer(iat=now - 3_600, exp=now - 1), (401, "390318"))

    def test_another_algorithm_is_refused(self) -> None:
        token = jwt.encode(self.client.claims(), "x" * 64, "HS256")
        self.assertEqual(self.client.call("GET", REPORT, token=token)[0], 401)

    def test_statements_need_one_too(self) -> None:
        self.assertEqual(self.client.call("POST", "/api/v2/statements", {"statement": "SELECT 1"}, token="x")[0], 401)
