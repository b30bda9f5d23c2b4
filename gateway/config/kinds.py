"""The kinds of text a setting can be: addresses, URLs, names, header names, references to secrets. Each function checks one and returns it tidied.

They raise Fault, to which the reader adds the place. A Fault quotes a value only through `quote`, which hides what may be a secret.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from gateway.config.addresses import is_refused


class Fault(Exception):  # noqa: N818 - becomes a Problem once its place is known
    """A value is not what its key asks for: `code` and `message` as in Problem, `remedy` says what to write."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.remedy = remedy


# Fields that frame or route a message, or carry the agent's token: never an agent's or an upstream's to choose.
FRAMING = frozenset(
    [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_PLAIN_FIELD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?")
_IN_VAULT = re.compile(r"[A-Za-z0-9_-]{1,64}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}){1,9}#[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+,=:@-]+)*")
_TEMPLATE = re.compile(r"/|(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+,=:@{}%-]+)+/?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_ORIGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_:-]{0,127}")
_KNOWN_KEY = re.compile(
    r"(?:^|[^A-Za-z0-9])(?:sk|pk|rk|ghp|gho|ghs|ghu|github_pat|glpat|xox[a-z]|hvs|npm|pypi)[-_](?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{8,}"
    r"|AKIA[0-9A-Z]{12,}|AIza[0-9A-Za-z_-]{20,}|eyJ[A-Za-z0-9_-]{10,}|-----BEGIN|(?i:bearer|basic)\s+[^\s{]{8,}"
)
_LONG_RUN = re.compile(r"[A-Za-z0-9+=_-]{32,}")


def looks_secret(text: str) -> bool:
    """Whether a text may be a key or token: a known prefix, a JWT, a PEM block, or 32 and more characters without a break."""
    return bool(_KNOWN_KEY.search(text) or _LONG_RUN.search(text))


def _hides_secret(place: str) -> bool:
    """Whether what should be a variable's name or a path may be the secret itself. Words joined by - and _ may be long there."""
    return bool(_KNOWN_KEY.search(place) or any(len(word) >= 32 for word in re.split(r"[/._-]", place)))


def quote(text: str) -> str:
    """A value for a message: shown when it is short and plain, hidden when it may be a secret."""
    if len(text) > 64 or not text.isprintable() or looks_secret(text):
        return "the value (not shown)"
    return f'"{text}"'


def name(text: str) -> str:
    """A tool, credential or gateway name."""
    if not _NAME.fullmatch(text):
        raise Fault("bad_name", f"{quote(text)} is not a name", "use a-z, 0-9, - and _, at most 63 characters, starting with a letter or digit")
    return text


def word(text: str) -> str:
    """A group or operation name."""
    if not _WORD.fullmatch(text):
        raise Fault(
            "bad_name", f"{quote(text)} is not a name", "use letters, digits, . - and _, at most 64 characters, starting with a letter or digit"
        )
    return text


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its text alone (no look-up: what a name resolves to may change)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host(text: str) -> str:
    """A host name or IP literal (IPv6 without brackets), in lower case."""
    text = text.lower()
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not _HOST.fullmatch(text) or ".." in text:
        raise Fault("bad_host", f"{quote(text)} is not a host name or IP address", "write it like api.example.com, 10.0.0.7 or [::1]")
    if re.fullmatch(r"[0-9.]+|0x[0-9a-f.x]*", text):  # 2130706433 and 0177.1 are 127.0.0.1 to some resolvers
        raise Fault("bad_host", f"{quote(text)} is an IP address in an unusual form", "write it as four decimal numbers: 127.0.0.1")
    return text


def host_and_port(text: str) -> tuple[str, int | None]:
    """`name`, `name:port`, `[v6]` or `[v6]:port`. Raises Fault."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]/@?#\s]+))(?::([0-9]{1,5}))?", text)
    if not match:
        raise Fault("bad_host", f"{quote(text)} is not a host", "write name or name:port, without scheme or path: api.example.com")
    port = int(match[3]) if match[3] else None
    if port is not None and port > 65_535:
        raise Fault("bad_host", f"port {port} does not exist", "use a port from 1 to 65535")
    return _host(match[1] or match[2]), port


def host(text: str) -> str:
    """A host that a credential or a door is bound to. No wildcards: each host is named."""
    if "*" in text:
        raise Fault(
            "bad_host", f"{quote(text)} holds a wildcard", "name each host by itself: a wildcard would hand the credential to hosts nobody looked at"
        )
    found, port = host_and_port(text)
    shown = f"[{found}]" if ":" in found else found
    return shown if port is None else f"{shown}:{port}"


def network(text: str) -> str:
    """A block of IP addresses in CIDR."""
    try:
        found = ipaddress.ip_network(text)
    except ValueError as error:
        raise Fault("bad_network", f"{quote(text)} is not a network", 'write it like "10.1.2.0/24", with zeros behind the prefix') from error
    if found.prefixlen == 0:
        raise Fault("bad_network", f"{quote(text)} is every address there is", "name the networks that the tool's name may resolve to")
    return str(found)


def address(text: str) -> tuple[str, int]:
    """Where to listen. Port 0 lets the system choose."""
    try:
        found, port = host_and_port(text)
    except Fault as fault:
        raise Fault("bad_address", f"{quote(text)} is not an address", 'write host:port, for example "127.0.0.1:8080" or "[::1]:8080"') from fault
    if port is None:
        raise Fault("bad_address", f"{quote(text)} has no port", f'write host:port, for example "{text}:8080"')
    return found, port


def base_url(text: str) -> str:
    """`http(s)://host[:port][/prefix]`, nothing else; given back without a slash at the end. A refused URL is never quoted: it may hold a password."""
    remedy = "write scheme, host, optional port and path prefix: https://api.example.com/v1"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise Fault("bad_url", "is not a URL", remedy) from error
    if parts.scheme not in {"http", "https"} or not text.lower().startswith(f"{parts.scheme}://") or not text.isascii() or not text.isprintable():
        raise Fault("bad_url", "is not an http:// or https:// URL", remedy)
    if "@" in parts.netloc:
        raise Fault("inline_secret", "holds a user name or password", 'take it out of the URL; use a [credential.NAME] with secret = "env:NAME"')
    if "?" in text or "#" in text:
        raise Fault("bad_url", "holds a query or fragment", f"{remedy}; a key in the query is a [credential.NAME] with query = ...")
    if " " in text or "\\" in text or not parts.hostname or not _PREFIX.fullmatch(parts.path.removesuffix("/")):
        raise Fault("bad_url", "has a host or path that is not plain", remedy)
    try:
        found = host(parts.netloc)
    except Fault as fault:
        raise Fault("bad_url", "has a host or port that is not valid", remedy) from fault
    if parts.netloc.endswith(":") or port == 0:
        raise Fault("bad_url", "has a port that is not valid", remedy)
    return f"{parts.scheme}://{found}{parts.path.removesuffix('/')}"


def tool_url(text: str) -> str:
    """The base URL of an upstream. Link-local addresses are refused: a cloud's metadata service hands out the machine's own credentials."""
    found = base_url(text)
    try:
        refused = is_refused(urlsplit(found).hostname or "")
    except ValueError:  # a name, which is looked up when it is called
        return found
    if refused:
        raise Fault(
            "bad_url", "points to a link-local, multicast or unspecified address", "name the service's own address; metadata services are never tools"
        )
    return found


def _field(text: str, refused: frozenset[str], why: str) -> str:
    if not _PLAIN_FIELD.fullmatch(text):
        raise Fault("bad_header", f"{quote(text)} is not a header name", "use letters, digits and -, for example x-request-id")
    if text.lower() in refused:
        raise Fault("bad_header", f"{quote(text)} {why}", "take it out")
    return text.lower()


def token_header(text: str) -> str:
    """A header in which agents may present their token, besides Authorization."""
    return _field(text, FRAMING | {"content-type", "accept", "cookie"}, "cannot carry the agent's token")


def request_header(text: str) -> str:
    """A header that agents may send on to the tool."""
    return _field(text, FRAMING | {"authorization", "dpop"}, "is never forwarded: it frames the message or carries the agent's token")


def response_header(text: str) -> str:
    """A header of the tool that agents may see."""
    return _field(text, FRAMING, "frames the message and is written by the gateway itself")


def credential_header(text: str) -> str:
    """The header that carries a credential to the tool."""
    if not _TOKEN.fullmatch(text):
        raise Fault("bad_header", f"{quote(text)} is not a header name", 'write only the name, for example header = "Authorization"')
    if text.lower() in FRAMING | {"content-type"}:
        raise Fault("bad_header", f"{quote(text)} cannot carry a credential", 'use header = "Authorization" or the name the tool asks for')
    return text


_BY_REFERENCE = (
    'write where it is kept: secret = "env:NAME" or secret = "file:PATH"; if this was a real key, replace it, since the file has been saved'
)


def secret_reference(text: str) -> str:
    """`env:NAME`, `file:PATH` or `vault:MOUNT/PATH#FIELD`. Anything else may be the secret itself and is never shown."""
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "env" and _VARIABLE.fullmatch(rest) and not _hides_secret(rest):
        return text
    if colon and scheme == "file" and rest.strip() == rest != "" and rest.isprintable() and not _hides_secret(rest):
        return text
    if colon and scheme == "vault" and _IN_VAULT.fullmatch(rest) and not _hides_secret(rest.replace("#", "/")):
        return text
    if colon and scheme in {"vault", "oauth2", "sts"}:
        remedy = "write vault:MOUNT/PATH#FIELD" if scheme == "vault" else f"write the table [credential.NAME.{scheme}] in its place"
        raise Fault("unknown_scheme", f"{scheme}: is not a source of secrets that this version knows, or not a whole one", remedy)
    raise Fault("inline_secret", "is not a reference, so it may be the secret itself (not shown)", _BY_REFERENCE)


def secret_format(text: str) -> str:
    """How the secret stands in its header; `{secret}` is replaced, exactly once."""
    if "{secret}" not in text:
        raise Fault(
            "inline_secret", "has no {secret}, so the header would be a fixed text (not shown)", 'write for example format = "Bearer {secret}"'
        )
    rest = text.replace("{secret}", "", 1)
    if "{" in rest or "}" in rest or not (rest.isascii() and text.isprintable()) or len(text) > 128:
        raise Fault("bad_format", "is not a header value with one {secret}", 'write for example format = "Bearer {secret}"')
    if looks_secret(rest):
        raise Fault("inline_secret", "holds what looks like a key (not shown)", 'leave only fixed words: format = "Bearer {secret}"')
    return text


def parameter(text: str) -> str:
    """The name of a query parameter."""
    if not re.fullmatch(r"[A-Za-z0-9._~-]{1,64}", text):
        raise Fault("bad_name", f"{quote(text)} is not a query parameter's name", 'write only the name, for example query = "api_key"')
    return text


def basic_user(text: str) -> str:
    """The user name of HTTP Basic (RFC 7617 allows no colon in it; empty is a name that some services ask for)."""
    if ":" in text or not (text.isascii() and text.isprintable()) or len(text) > 128:
        raise Fault("bad_name", "is not a user name for HTTP Basic (not shown)", "write only the user name; the password is what `secret` refers to")
    return text


def log_origin(text: str) -> str:
    """The log's name for ever. `#`, `;`, `+` and blanks would break checkpoints and decision numbers."""
    if not _ORIGIN.fullmatch(text):
        raise Fault("bad_name", f"{quote(text)} cannot name a log", "use letters, digits, . / _ : and -, for example gw.example.com/main")
    return text


def method(text: str) -> str:
    """An HTTP method of an operation."""
    if not re.fullmatch(r"[A-Z]{1,16}", text) or text in {"CONNECT", "TRACE"}:
        raise Fault("bad_name", f"{quote(text)} is not a method that tools are called with", "write it in capitals: GET, POST, PUT, PATCH or DELETE")
    return text


def path_template(text: str) -> str:
    """A path below the tool's URL, with `{name}` for each argument."""
    braces = re.sub(r"\{[A-Za-z_][A-Za-z0-9_.-]*\}", "", text)
    if not _TEMPLATE.fullmatch(text) or "{" in braces or "}" in braces:
        raise Fault("bad_path", f"{quote(text)} is not a path template", "start with / and name arguments in braces: /tickets/{id}")
    return text
