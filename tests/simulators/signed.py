"""A service that takes signed requests only, by three schemes, each written out here from its own documentation and from nothing of ours.

/slack   v0=HEX(HMAC-SHA256(key, "v0:" timestamp ":" body)), five minutes (docs.slack.dev, verifying requests from Slack)
/stripe  t=TIMESTAMP,v1=HEX(HMAC-SHA256(key, timestamp "." body)), five minutes (docs.stripe.com, verify webhook signatures manually)
/api     BASE64(HMAC-SHA512(key, method LF host LF target LF milliseconds LF nonce LF hex sha256 of body)), a minute, each nonce once
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import time
from dataclasses import dataclass, field

from tests.simulators.upstreams import Seen, answer

SLACK = 'string = "v0:{timestamp}:{body}"\nheaders = { X-Slack-Signature = "v0={signature}", X-Slack-Request-Timestamp = "{timestamp}" }\nuncovered = ["method", "path", "query"]\n'
STRIPE = 'string = "{timestamp}.{body}"\nheaders = { Stripe-Signature = "t={timestamp},v1={signature}" }\nuncovered = ["method", "path", "query"]\n'
API = """string = "{method}\\n{host}\\n{target}\\n{timestamp}\\n{nonce}\\n{body_sha256}"
headers = { Authorization = "HMAC {key_id}:{signature}", X-Time = "{timestamp}", X-Nonce = "{nonce}" }
algorithm = "sha512"
encoding = "base64"
timestamp = "milliseconds"
key_id = "agent-gate"
"""


@dataclass
class SignedService:
    """Answers 200 to what is signed rightly, else 401; `broken` first answers are 503 whatever came. `tells` is what it says in its answers."""

    key: bytes
    broken: int = 0
    tells: bytes = b"{}"
    nonces: set[str] = field(default_factory=set)
    verdicts: list[str] = field(default_factory=list)

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        if self.broken:
            self.broken -= 1
            writer.write(answer(503, b"down"))
            return
        wrong = self.fault(seen)
        self.verdicts.append(wrong or "ok")
        writer.write(answer(401 if wrong else 200, self.tells, f"X-Request-Id: {self.tells.decode()}"))

    def fault(self, seen: Seen) -> str:
        scheme = seen.target.split("/")[1]
        return {"slack": self._slack, "stripe": self._stripe, "api": self._api}[scheme](seen)

    def _slack(self, seen: Seen) -> str:
        at, given = seen.header("x-slack-request-timestamp") or "", seen.header("x-slack-signature") or ""
        if not at.isdigit() or abs(time.time() - int(at)) > 300:
            return "time"
        right = "v0=" + hmac.new(self.key, b"v0:" + at.encode() + b":" + seen.body, hashlib.sha256).hexdigest()
        return "" if hmac.compare_digest(right, given) else "signature"

    def _stripe(self, seen: Seen) -> str:
        found = re.fullmatch(r"t=([0-9]+),v1=([0-9a-f]{64})", seen.header("stripe-signature") or "")
        if found is None or abs(time.time() - int(found[1])) > 300:
            return "time"
        right = hmac.new(self.key, found[1].encode() + b"." + seen.body, hashlib.sha256).hexdigest()
        return "" if hmac.compare_digest(right, found[2]) else "signature"

    def _api(self, seen: Seen) -> str:
        if sorted(name for name, _ in seen.headers if name in ("authorization", "x-time", "x-nonce")) != ["authorization", "x-nonce", "x-time"]:
            return "fields"
        at, nonce = seen.header("x-time") or "", seen.header("x-nonce") or ""
        if not at.isdigit() or abs(time.time() * 1000 - int(at)) > 60_000:
            return "time"
        signed = "\n".join((seen.method, seen.header("host") or "", seen.target, at, nonce, hashlib.sha256(seen.body).hexdigest()))
        right = base64.b64encode(hmac.new(self.key, signed.encode(), hashlib.sha512).digest()).decode()
        if not hmac.compare_digest(f"HMAC agent-gate:{right}", seen.header("authorization") or ""):
            return "signature"
        if nonce in self.nonces:
            return "nonce"
        self.nonces.add(nonce)
        return ""
