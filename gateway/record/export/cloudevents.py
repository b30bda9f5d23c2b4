"""CloudEvents 1.0.2 in the JSON event format (section 3.1), one event a line: each line is an `application/cloudevents+json` document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import quote

from gateway.canonical import dumps_in_order, embed
from gateway.record.export.members import moment, part, text, without_none
from gateway.record.line import Record

TYPE = "portreeve.log.v1"


def cloud_events(records: Iterable[Record], origin: str) -> Iterator[bytes]:
    """`data` is the record, byte for byte as it is stored; the extension attribute `leaf` is its hash in the log's tree.

    `source` and `id` together name one record for ever (CloudEvents section 3.1.1): the origin as a network-path reference, and the number.
    """
    source = "//" + quote(origin, safe="/:@!$&'()*,;=-._~")
    for record in records:
        event = {
            "specversion": "1.0",
            "id": str(record.n),
            "source": source,
            "type": f"{TYPE}.{record.kind}",
            "subject": text(part(record, "who").get("agent")),
            "time": moment(record.t),
            "datacontenttype": "application/json",
            "leaf": record.leaf,
        }
        yield dumps_in_order({**without_none(event), "data": embed(record.line)}) + b"\n"
