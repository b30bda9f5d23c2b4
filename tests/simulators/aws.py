"""A small AWS: a moto server on loopback, which verifies signatures, with one role, one bucket, and a door of STS that writes down what it is asked.

moto verifies neither the web identity nor does it apply session policies, so the door does the first, and tests look at the second.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import hmac
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qsl, urlencode
from urllib.request import Request, urlopen

import jwt

from tests.simulators.upstreams import Seen, answer

ACCOUNT, REGION, BUCKET = "123456789012", "eu-central-1", "acme-reports"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/gateway/reports"
ALL = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
START_S_MAX = 30.0


@dataclass(frozen=True)
class Aws:
    """`root` is the id of a key that may do everything, and the key."""

    port: int
    root: tuple[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Sts:
    """A behaviour: STS as the public reaches it. It believes what `public` signed, for `audience`, and leaves the rest to moto.

    `asked` are the forms that came, `gave` the keys that went out; `fails` is an error that it answers with instead, as AWS writes it. With `spoils`
    the key that it gives is not the one that counts.
    """

    aws: Aws
    public: Any
    issuer: str
    audience: str = "sts.amazonaws.com"
    fails: tuple[int, str] | None = None
    spoils: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    gave: list[dict[str, str]] = field(default_factory=list)

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        form = dict(parse_qsl(seen.body.decode(), strict_parsing=True))
        self.asked.append(form)
        if self.fails is not None:
            writer.write(refusal(*self.fails))
            return
        try:
            claims = jwt.decode(form["WebIdentityToken"], self.public, algorithms=["ES256"], audience=self.audience, issuer=self.issuer)
        except jwt.InvalidTokenError:
            writer.write(refusal(400, "InvalidIdentityToken"))
            return
        form["sub"] = claims["sub"]
        raw = await passed_on(self.aws, seen.target, seen.body, self.aws.root)
        if self.spoils:
            key = _element(raw.decode(), "SecretAccessKey").encode()
            raw = raw.replace(key, key[::-1])
        self.gave.append({name: _element(raw.decode(), name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")})
        writer.write(raw)


def refusal(status: int, code: str) -> bytes:
    """An error of the query protocol, with a message that says more than it should."""
    text = f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>{code}</Code><Message>CANARY-of-theirs</Message></Error>'
    return answer(status, f"{text}<RequestId>1</RequestId></ErrorResponse>".encode(), "Content-Type: text/xml")


def session(name: str, **more: str | None) -> bytes:
    """An answer as AWS writes it, to what asked for a session of that name."""
    told = {
        "AccessKeyId": "ASIAEXAMPLE012345678",
        "SecretAccessKey": "CANARY-key",
        "SessionToken": "CANARY-token",
        "Expiration": "2999-01-01T00:00:00Z",
        **more,
    }
    keys = "".join(f"<{field}>{text}</{field}>" for field, text in told.items() if text is not None)
    who = f"<AssumedRoleUser><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/reports/{name}</Arn></AssumedRoleUser>"
    result = f"<AssumeRoleWithWebIdentityResult><Credentials>{keys}</Credentials>{who}</AssumeRoleWithWebIdentityResult>"
    return f"<AssumeRoleWithWebIdentityResponse>{result}</AssumeRoleWithWebIdentityResponse>".encode("utf-8", "surrogateescape")


async def passed_on(aws: Aws, target: str, body: bytes, who: tuple[str, str]) -> bytes:
    """The raw answer of moto to a form that `who` signs."""
    fields = [f"host: 127.0.0.1:{aws.port}", f"x-amz-date: {dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}"]
    when = fields[1][-16:]
    scope = f"{when[:8]}/{REGION}/sts/aws4_request"
    signed = "\n".join(["POST", target, "", *(one.replace(": ", ":") for one in fields), "", "host;x-amz-date", hashlib.sha256(body).hexdigest()])
    mac = f"AWS4{who[1]}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{hashlib.sha256(signed.encode()).hexdigest()}"):
        mac = hmac.digest(mac, part.encode(), "sha256")
    fields += [f"authorization: AWS4-HMAC-SHA256 Credential={who[0]}/{scope}, SignedHeaders=host;x-amz-date, Signature={mac.hex()}"]
    fields += ["connection: close", f"content-length: {len(body)}", "content-type: application/x-www-form-urlencoded"]
    reader, writer = await asyncio.open_connection("127.0.0.1", aws.port)
    writer.write("\r\n".join([f"POST {target} HTTP/1.1", *fields, "", ""]).encode() + body)
    raw = await reader.read()
    writer.close()
    await writer.wait_closed()
    return raw


def _send(port: int, method: str, path: str, body: str, media: str, service: str = "") -> str:
    """Before keys are looked at, everybody may do everything: the field only says which service is meant."""
    scope = f"AWS4-HMAC-SHA256 Credential=x/20200101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=x"
    request = Request(f"http://127.0.0.1:{port}{path}", body.encode(), {"authorization": scope, "content-type": media}, method=method)
    with urlopen(request, timeout=10) as told:
        return told.read().decode()


def _furnish(port: int) -> tuple[str, str]:
    """The role, a bucket with objects, and a user who may do everything. From then on moto verifies every signature."""

    def iam(action: str, **form: str) -> str:
        return _send(port, "POST", "/", urlencode({"Action": action, **form}), "application/x-www-form-urlencoded", "iam")

    iam("CreateRole", RoleName="reports", Path="/gateway/", AssumeRolePolicyDocument=ALL)
    iam("PutRolePolicy", RoleName="reports", PolicyName="all", PolicyDocument=ALL)
    iam("CreateUser", UserName="root")
    iam("PutUserPolicy", UserName="root", PolicyName="all", PolicyDocument=ALL)
    told = iam("CreateAccessKey", UserName="root")
    place = f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
    _send(port, "PUT", f"/{BUCKET}", place, "text/xml", "s3")
    for name in ("2026/q3.csv", "2026/q4%20%281%29%3D.csv", "plain.txt"):
        _send(port, "PUT", f"/{BUCKET}/{name}", f"text of {name}", "text/plain", "s3")
    _send(port, "POST", "/moto-api/reset-auth", "0", "text/plain")
    return _element(told, "AccessKeyId"), _element(told, "SecretAccessKey")


def _element(xml: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]+)<", xml)
    assert found, xml
    return found[1]


@contextlib.contextmanager
def aws(folder: Path) -> Iterator[Aws]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "moto.log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"})
    try:
        until = time.monotonic() + START_S_MAX
        while True:
            with contextlib.suppress(URLError, ConnectionError), urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=10):
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "moto.log").read_text()[-2000:])
            time.sleep(0.02)
        try:
            yield Aws(port, _furnish(port))
        except HTTPError as error:
            raise RuntimeError(error.read().decode()) from error
    finally:
        process.kill()  # it has nothing to save
        process.wait(20)
