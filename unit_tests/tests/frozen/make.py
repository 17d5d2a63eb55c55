#!/usr/bin/env python3
"""Makes the frozen bytes, by another MessagePack implementation and from docs/wire.md alone.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install msgpack==1.2.4
    /tmp/venv/bin/python make.py

writes, as lines of `name: hex`:
    values.txt   one value of each kind of everything
    older.txt    kinds that have grown since, as they were spelt before: read, never written again
    frames.txt   whole frames
    grown.txt    the same, as a newer version might spell them: with fields that we do not know
    refused.txt  frames of which only the body is wrong

Structs and enums are tuples here, lists are lists. Must never be made to agree with what the Rust
code says: frozen bytes are what all versions agree on. A changed line is another format.
"""

import pathlib
import struct

import msgpack


def position(index, term):
    return (term, index)


U64 = 2**64 - 1
BLOB = bytes(range(256)) + b"\xff" * 44  # 300 bytes: needs bin 16

BLANK = (1,)
PLAIN = (1, b"SET a 1")
COMMAND = (2, [PLAIN, (1, b"")])
ENTRY_BLANK = (position(1, 1), 0, BLANK)
ENTRY_COMMAND = (position(70_000, 300), 1_700_000_000_000_000, COMMAND)


def raft(message, term=7):
    return (1, term, message)


def envelope(content, group=0):
    return (group, content)


PRE_VOTE = (1, 8, position(5, 3), 99)
PRE_VOTE_WITHOUT_ROUND = (1, 8, position(5, 3))
FORWARD = (2, 12, 7, [(1, b"INCR n"), (2, b"GET n")])
HEARTBEAT = (7, 99, 70_000)
MEMBERSHIP = ([1, 2, U64],)
SNAPSHOT_META = (position(70_000, 300), 1_700_000_000_000_000, MEMBERSHIP)
SNAPSHOT_PART = (4, 7, SNAPSHOT_META, 2**32, 65_536, BLOB)
SNAPSHOT_PART_REPLY = (5, position(70_000, 300), 131_072)

VALUES = {
    "ids/zero": 0,
    "ids/127": 127,
    "ids/128": 128,
    "ids/256": 256,
    "ids/65536": 65_536,
    "ids/2^32": 2**32,
    "ids/max": U64,
    "position": position(5, 3),
    "position/zero": position(0, 0),
    "position/max": position(U64, U64),
    "membership": MEMBERSHIP,
    "membership/nobody": ([],),
    "snapshot_meta": SNAPSHOT_META,
    "payload/blank": BLANK,
    "payload/command": COMMAND,
    "payload/command/empty": (2, []),
    "payload/command/16": (2, [(1, bytes([i])) for i in range(16)]),
    "item/plain": PLAIN,
    "item/plain/300": (1, BLOB),
    "item/session": (2, 70_000 * 1024 + 3, 12, b"SET a 1"),
    "item/open_session": (3,),
    "item/outcome": (4, 1024, 1),
    "item/close_session": (5, 70_000 * 1024 + 3),
    "entry/blank": ENTRY_BLANK,
    "entry/command": ENTRY_COMMAND,
    "operation/command": (1, b"SET a 1"),
    "operation/query": (2, b"GET a"),
    "operation/session": (3, U64, 300, b"SET a 1"),
    "operation/open_session": (4,),
    "operation/outcome": (5, 1024, 1),
    "operation/close_session": (6, 1024),
    "not_appended/not_leader": (1,),
    "not_appended/busy": (2,),
    "not_appended/full": (3,),
    "outcome/done": (1, [b"+OK\r\n", b":2\r\n"]),
    "outcome/not_appended": (2, (1,)),
    "message/pre_vote": PRE_VOTE,
    "message/pre_vote_reply": (2, 8, True, 99),
    "message/request_vote": (3, position(5, 3)),
    "message/request_vote_reply": (4, 8, False, 1_700_000_000_000_000),
    "message/append_entries": (5, position(69_999, 299), [ENTRY_COMMAND, ENTRY_BLANK], 69_998),
    "message/append_entries/probe": (5, position(4, 2), [], 0),
    "message/append_entries_reply/matched": (6, (1, 70_000)),
    "message/append_entries_reply/mismatched": (6, (2, 70_000, position(60_000, 2))),
    "message/heartbeat": HEARTBEAT,
    "message/heartbeat_reply": (8, 99, False),
    "message/heartbeat_reply/full": (8, 99, True),
    "message/snapshotted": (9, position(70_000, 300)),
    "append_outcome/matched": (1, 70_000),
    "append_outcome/mismatched": (2, 70_000, position(60_000, 2)),
    "content/raft": raft(PRE_VOTE),
    "content/forward": FORWARD,
    "content/forward_reply": (3, 12, (1, [b":1\r\n", b":1\r\n"])),
    "content/snapshot_part": SNAPSHOT_PART,
    "content/snapshot_part/question": (4, 7, SNAPSHOT_META, 2**32, 0, b""),
    "content/snapshot_part_reply": SNAPSHOT_PART_REPLY,
    "envelope/raft": envelope(raft(PRE_VOTE)),
    "envelope/forward": envelope(FORWARD),
    "envelope/forward_reply": envelope((3, 12, (2, (2,))), group=3),
    "envelope/snapshot_part": envelope(SNAPSHOT_PART),
    "envelope/snapshot_part_reply": envelope(SNAPSHOT_PART_REPLY, group=3),
}

OLDER = {
    "message/pre_vote": PRE_VOTE_WITHOUT_ROUND,
    "message/pre_vote_reply": (2, 8, True),
    "message/heartbeat_reply": (8, 99),
    "content/raft": raft(PRE_VOTE_WITHOUT_ROUND),
    "envelope/raft": envelope(raft(PRE_VOTE_WITHOUT_ROUND)),
}


def grown(value):
    """The value with fields at the end of each struct and enum that version 1 does not have."""
    if isinstance(value, list):
        return [grown(element) for element in value]
    if isinstance(value, tuple):
        return tuple(grown(field) for field in value) + TOMORROW
    return value


TOMORROW = (
    None,
    -1,
    0.5,
    b"bin",
    "a string",
    [[], [1, [2, {"nested": [3]}]]],
    {"a": 1, b"b": [2], 3: {}},
    msgpack.ExtType(5, b"extension"),
    msgpack.ExtType(6, b""),
    msgpack.Timestamp(1, 2),
    (9, 9, 9),
)


def crc32c(blob):
    """Castagnoli's, bit by bit, reflected (polynomial 0x82f63b78)."""
    crc = 0xFFFFFFFF
    for byte in blob:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283  # the check value that catalogues give for CRC-32C


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


def frame(lane, cluster, sender, boot, receiver, envelopes, reserved=0):
    body = envelopes if isinstance(envelopes, bytes) else pack(envelopes)
    ids = (cluster, sender, boot, receiver)
    head = struct.pack("<4sBBHQQQQI", b"RFT1", 1, lane, reserved, *ids, len(body))
    assert len(head) == 44
    return head + struct.pack("<I", crc32c(head + body)) + body


CLUSTER, BOOT = 0x1122334455667788, 5 << 32 | 0xDEADBEEF
CONTROL = [envelope(raft(HEARTBEAT))]
BULK = [envelope(SNAPSHOT_PART), envelope(SNAPSHOT_PART_REPLY)]
LOG = [envelope(raft((5, position(69_999, 299), [ENTRY_COMMAND], 69_998))), envelope(FORWARD)]

FRAMES = {
    "frame/empty": frame(0, CLUSTER, 1, BOOT, 2, []),
    "frame/control": frame(0, CLUSTER, 1, BOOT, 2, CONTROL),
    "frame/log": frame(1, CLUSTER, U64, BOOT, 2, LOG),
    "frame/bulk": frame(2, CLUSTER, 1, BOOT, 2, BULK),
}

GROWN = {name: pack(grown(value)) for name, value in VALUES.items() if isinstance(value, tuple)}
GROWN["frame/empty"] = frame(0, CLUSTER, 1, BOOT, 2, [], reserved=0xFFFF)
GROWN["frame/control"] = frame(0, CLUSTER, 1, BOOT, 2, grown(CONTROL))
GROWN["frame/log"] = frame(1, CLUSTER, U64, BOOT, 2, grown(LOG), reserved=1)
GROWN["frame/bulk"] = frame(2, CLUSTER, 1, BOOT, 2, grown(BULK))

UNKNOWN_PAYLOAD = (position(5, 3), 0, (1000, b"of tomorrow"))
BODIES = {
    "nothing": b"",
    "no messagepack": b"\xc1",
    "a map": pack({}),
    "cut": pack(CONTROL)[:-1],
    "trailing": pack(CONTROL) + b"\x00",
    "a term that is text": pack([envelope(raft(HEARTBEAT, term="7"))]),
    "unknown content": pack([envelope((1000, 1, 2))]),
    "unknown message": pack(CONTROL + [envelope(raft((1000, 1)))]),
    "unknown payload": pack([envelope(raft((5, position(4, 2), [UNKNOWN_PAYLOAD], 0)))]),
}
REFUSED = {name: frame(0, CLUSTER, 1, BOOT, 2, body) for name, body in BODIES.items()}


def write(name, lines):
    text = "".join(f"{key}: {blob.hex()}\n" for key, blob in lines.items())
    (pathlib.Path(__file__).parent / name).write_text(text)


write("values.txt", {key: pack(value) for key, value in VALUES.items()})
write("older.txt", {key: pack(value) for key, value in OLDER.items()})
write("frames.txt", FRAMES)
write("grown.txt", GROWN)
write("refused.txt", REFUSED)
