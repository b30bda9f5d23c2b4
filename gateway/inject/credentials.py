"""Credentials of a deployment: from a permit to the one request that may leave, with the tool's credential in it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from gateway.call import Grant, Permit
from gateway.config.model import CredentialSettings, Settings, ToolSettings
from gateway.credential import ClientCertificate, CredentialUse
from gateway.errors import Problem, Problems, Refusal
from gateway.inject.certificate import CertificateSource
from gateway.inject.faults import problem_of, tool_faults_of
from gateway.inject.fingerprint import Fingerprints
from gateway.inject.held import CERTIFICATE, Held, open_all
from gateway.inject.kept import Kept
from gateway.inject.opening import NO_SERVICES, Services
from gateway.inject.request import Target, headers_of, need_of, query_of
from gateway.inject.signing import RequestSigner, Unsigned
from gateway.inject.source import Fetched, Unreadable, scope_hash
from gateway.inject.vault import Vault
from gateway.secret import Secret

DAY_S = 86_400
GRACE_S = 10.0
"""How long what a reload takes out is still good, for calls that have its secret and are not sent yet."""


class Credentials:
    """What a deployment's tools need to be called. Made by `load`; a reload makes another, which takes over what was fetched already."""

    def __init__(
        self, credentials: Mapping[str, Held], fingerprints: Fingerprints, vault: Vault | None, now: Callable[[], float] = time.time
    ) -> None:
        self.credentials = credentials
        self._now = now
        self.vault = vault
        self.closing: set[asyncio.Task[None]] = set()
        self.retired: list[Kept] = []
        self.hurry = asyncio.Event()
        self._fingerprints = fingerprints
        self._targets: dict[str, tuple[ToolSettings, Target]] = {}

    @classmethod
    def load(cls, settings: Settings, services: Services = NO_SERVICES, before: Credentials | None = None) -> Credentials:
        """Open every source; secrets themselves may still be missing (see `check`). Raises Problems for settings that can never work.

        A credential whose settings are those of `before` keeps what was fetched for it.
        """
        same = before is not None and (before.vault.settings if before.vault else None) == settings.vault
        if same and before is not None:
            vault = before.vault
        else:
            vault = Vault(settings.vault, settings.name, services.vouch) if settings.vault else None
        credentials, problems = open_all(settings, services, vault, before.credentials if before is not None and same else {})
        for tool in settings.tools.values():
            problems += tool_faults_of(tool, settings.credentials)
        if problems:
            raise Problems(problems)
        return cls(credentials, Fingerprints(settings.keys), vault, services.now)

    def check(self) -> list[Problem]:
        """Every credential that cannot be had or placed now, as `portreeve check` shows it: no other service is asked. Never shows a value."""
        return [problem for held in self.credentials.values() if (problem := held.fault()) is not None]

    def certificates(self) -> Iterator[tuple[CredentialSettings, ClientCertificate]]:
        """The client certificates in use, as far as they were read already."""
        for credential in self.credentials.values():
            if isinstance(credential.source, CertificateSource) and credential.source.certificate is not None:
                yield credential.settings, credential.source.certificate

    def notices(self) -> list[Problem]:
        """Certificates that were read and end soon."""
        found = []
        for settings, certificate in self.certificates():
            left_s = certificate.ends_at_s - self._now()
            if settings.mtls is not None and left_s < settings.mtls.warn_days * DAY_S:
                message = f"the client certificate ends in {max(0, int(left_s // DAY_S))} days"
                found.append(problem_of(settings, "certificate_ends", message, "have another one issued, and put it in the same place", "mtls"))
        return found

    def retire(self, successor: Credentials, grace_s: float = GRACE_S) -> None:
        """`successor` is in force now: end what it did not take over, after `grace_s`, for calls are on their way with it. It sees to the end of that."""
        taken = {id(credential.kept) for credential in successor.credentials.values()}
        gone = [c.kept for c in self.credentials.values() if c.kept is not None and id(c.kept) not in taken]
        vault = None if self.vault is successor.vault else self.vault
        successor.hurry = self.hurry
        ending = [asyncio.create_task(_close_after(grace_s, self.hurry, gone, vault))] if gone or vault else []
        successor.closing |= {task for task in (*self.closing, *ending) if not task.done()}
        successor.retired += [kept for kept in (*self.retired, *gone) if not kept.is_closed]

    async def close(self) -> None:
        """Give back what can be given back."""
        kept = [credential.kept for credential in self.credentials.values() if credential.kept is not None]
        self.hurry.set()
        await asyncio.gather(*self.closing, _close(kept, self.vault))

    def revoke(self, kind: str, name: str) -> int:
        """An `agent` or a `user` is stopped: forget, and begin to give back where that can be done, all that was fetched for it. Returns how many."""
        return sum(kept.revoke(kind, name) for kept in self._all())

    def holders(self) -> set[str]:
        """The agents for whom, or for whose chain of delegation, something that was fetched is kept."""
        return {agent for kept in self._all() for agent in kept.holders()}

    def _all(self) -> list[Kept]:
        return [*self.retired, *(credential.kept for credential in self.credentials.values() if credential.kept is not None)]

    async def renewed(self, grant: Grant, tool: ToolSettings, deadline_s: float) -> Grant | None:
        """The grant with another secret, after the tool would not take this one; None where there is no other. `deadline_s` as in `inject`."""
        credential = self.credentials.get(grant.credential.name) if grant.credential else None
        if credential is None or credential.kept is None or grant.secret is None:
            return None
        try:
            need = need_of(grant.permit)
            if not credential.kept.drop(need, credential.source.scope(need), grant.secret):
                return None
            return await self.inject(grant.permit, tool, deadline_s)
        except (Unreadable, Refusal):
            return None  # the answer that the tool gave stands

    async def inject(self, permit: Permit, tool: ToolSettings, deadline_s: float | None = None) -> Grant:
        """Build the request that goes up. The secret is fetched here, after the permit, and for the permitted call alone.

        `deadline_s`, on the event loop's clock, is when the call must be over. Raises Refusal: credential_unavailable, path_refused, malformed_request, contract_violation; nothing was sent then.
        """
        invocation = permit.invocation
        call = invocation.call
        if tool.name != call.tool:
            raise Refusal("internal_error", reason="the permit is for another tool")
        target = self._target(tool)
        path = target.path(call.path)
        credential, shown = self._bound(tool, target)
        certificate, fetched, placed, use = None, None, None, None
        if shown is not None:
            pair, _, use = await self._fetch(shown, permit, deadline_s)
            certificate = pair.certificate
        if credential is not None:
            fetched, placed, use = await self._fetch(credential, permit, deadline_s)
            if certificate is not None:
                use = replace(use, certificate=certificate.fingerprint)
        settings = credential.settings if credential else None
        query: str | Secret = query_of(invocation, settings)
        headers = headers_of(invocation, target, has_credential=fetched is not None)
        if settings is not None and placed is not None:
            if settings.query:
                query = Secret(f"{query}&{placed.reveal()}" if query else placed.reveal())
            else:
                headers.append((settings.header.lower() if settings.header else "authorization", placed))
        grant = Grant(
            permit=permit,
            tool=tool.name,
            scheme=target.scheme,
            host=target.host,
            port=target.port,
            method=call.method,
            path=path,
            query=query,
            headers=tuple(headers),
            body=invocation.body,
            credential=use,
            secret=fetched.secret if fetched else None,
            certificate=certificate,
        )
        if credential is None or credential.signer is None or fetched is None:
            return grant
        return self._signed(grant, target, credential.signer, fetched)

    def _signed(self, grant: Grant, target: Target, signer: RequestSigner, fetched: Fetched) -> Grant:
        """The same with its signature, which covers it as it stands."""
        call = grant.permit.invocation.call
        unsigned = Unsigned(
            grant.method,
            grant.scheme,
            target.authority,
            grant.path,
            grant.query if isinstance(grant.query, str) else grant.query.reveal(),
            tuple((name, value) for name, value in grant.headers if isinstance(value, str)),
            grant.body if grant.body is not None or call.body.length != 0 else b"",
            grant.permit.invocation.operation.name,
        )
        try:
            signature = signer.sign(unsigned, fetched, self._now())
        except Unreadable as unreadable:
            name = grant.credential.name if grant.credential else ""
            raise Refusal("credential_unavailable", reason=f"credential {name}: {unreadable.reason}") from None
        return replace(grant, headers=(*grant.headers, *signature))

    def _bound(self, tool: ToolSettings, target: Target) -> tuple[Held | None, Held | None]:
        """What goes along with a tool's calls, and the certificate that is shown. Raises Refusal for what is not there, or not for this place."""
        if tool.credential is None:
            return None, None
        credential, shown = self.credentials.get(tool.credential), self.credentials.get(tool.credential + CERTIFICATE)
        held = credential or shown
        if held is None:
            raise Refusal("credential_unavailable", reason=f"credential {tool.credential} is not declared")
        if not target.is_named_by(held.settings.hosts):
            raise Refusal("credential_unavailable", reason=f"credential {tool.credential} is not bound to {target.host}:{target.port}")
        if shown is not None and target.scheme != "https":
            raise Refusal("credential_unavailable", reason=f"credential {tool.credential} is a certificate, and the tool's URL is not https")
        return credential, shown

    def _target(self, tool: ToolSettings) -> Target:
        found = self._targets.get(tool.name)
        if found is not None and found[0] is tool:
            return found[1]
        credential = self.credentials.get(tool.credential) if tool.credential else None
        try:
            target = Target.of(tool, credential.settings if credential else None)
        except ValueError as error:
            raise Refusal("credential_unavailable", reason=f"the base URL of tool {tool.name} is not usable") from error
        self._targets[tool.name] = (tool, target)
        return target

    async def _fetch(self, credential: Held, permit: Permit, deadline_s: float | None) -> tuple[Fetched, Secret | None, CredentialUse]:
        """The secret as it is now, as it stands in the request (None where it does not), and how the log names it."""
        settings, source, need = credential.settings, credential.source, need_of(permit)
        try:
            scope = source.scope(need)
            fetched = await (credential.kept.fetch(need, scope, deadline_s) if credential.kept is not None else source.fetch(need))
            secret = fetched.secret
            if secret is not credential.value or credential.use is None:
                placed = credential.place(fetched)
                shown = fetched.certificate.fingerprint if fetched.certificate else ""
                use = CredentialUse(settings.name, source.kind, self._fingerprints.of(secret), fetched.version, scope_hash(scope), shown)
                credential.value, credential.placed, credential.use = secret, placed, use
                return fetched, placed, use
        except Unreadable as unreadable:
            raise Refusal("credential_unavailable", reason=f"credential {settings.name}: {unreadable.reason}") from None
        return fetched, credential.placed, credential.use


async def _close_after(grace_s: float, hurry: asyncio.Event, kept: Iterable[Kept], vault: Vault | None) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace_s):
            await hurry.wait()
    await _close(kept, vault)


async def _close(kept: Iterable[Kept], vault: Vault | None) -> None:
    """The vault goes last: what it made is given back through it."""
    await asyncio.gather(*(each.close() for each in kept))
    if vault is not None:
        await vault.close()
