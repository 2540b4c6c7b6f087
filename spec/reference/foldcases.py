"""Notes and snapshots whose fold NOTES.md decides, a case for each rule: notes.json."""

from typing import Any

import snapnotes
from vectors import b

A, B, C = b(0xA1), b(0xA2), b(0xA3)


def snapshot(seconds: int, refs: list[str] = [], seen: list[bytes] = []) -> dict:
    commit = {"time": [seconds, 0], "tags": ["born"], "refs": refs, "seen": seen, "meta": {"loss": "1"}, "description": "first"}
    return commit


def note(n: int, seconds: int, seen: list[int], *statements: dict) -> tuple[bytes, dict]:
    return b(n), {"author": f"author {n}", "time": [seconds, 0], "seen": [b(s) for s in seen], "statements": list(statements)}


def said(kind: str, snapshot: bytes | None = A, **fields: Any) -> dict:
    return {"statement": kind, "snapshot": snapshot} | fields


def tags(add: list[str], remove: list[str], snapshot: bytes = A) -> dict:
    return said("tags", snapshot, add=add, remove=remove)


def ref(name: str, snapshot: bytes | None) -> dict:
    return {"statement": "ref", "name": name, "snapshot": snapshot}


def policy(toml: str) -> dict:
    return {"statement": "policy", "toml": toml}


FORGET, UNFORGET, PIN, UNPIN = said("forget", reason="old"), said("unforget"), said("pin", reason="why"), said("unpin")
ONE = {A: snapshot(0)}
REFS = {A: snapshot(10, ["p"]), B: snapshot(20, ["p", "q"]), C: snapshot(30)}

CASES: list[tuple[str, dict, list[tuple[bytes, dict]], list[bytes]]] = [
    ("nothing was said", REFS, [], []),
    ("a forgetting", ONE, [note(1, 10, [], FORGET)], []),
    ("a forgetting taken back", ONE, [note(1, 10, [], FORGET), note(2, 5, [1], UNFORGET)], []),
    ("forgotten again", ONE, [note(1, 10, [], FORGET), note(2, 5, [1], UNFORGET), note(3, 1, [2], FORGET)], []),
    ("forgotten and kept at once", ONE, [note(1, 10, [], FORGET), note(2, 5, [], UNFORGET)], []),
    ("forgotten and tagged at once", ONE, [note(1, 10, [], FORGET), note(2, 5, [], tags(["x"], []))], []),
    ("forgotten after a tag was seen", ONE, [note(1, 10, [2], FORGET), note(2, 50, [], tags(["x"], []))], []),
    ("tagged after a forgetting was seen", ONE, [note(1, 10, [], FORGET), note(2, 50, [1], tags(["x"], []))], []),
    ("forgotten while a ref moves here", ONE, [note(1, 10, [], FORGET), note(2, 5, [], ref("p", A))], []),
    ("forgotten though pinned", ONE, [note(1, 10, [2], FORGET), note(2, 5, [], PIN)], []),
    ("forgotten after a pin was taken back", ONE, [note(1, 1, [], PIN), note(2, 2, [1], UNPIN), note(3, 3, [2], FORGET)], []),
    ("all in one note", ONE, [note(1, 1, [], PIN, UNPIN, FORGET)], []),
    ("taken back in the same note", ONE, [note(1, 1, [], FORGET, UNFORGET)], []),
    ("pinned and unpinned at once", ONE, [note(1, 1, [], PIN), note(2, 2, [], UNPIN)], []),
    ("unpinned, and pinned by another at once", ONE, [note(1, 1, [], PIN), note(2, 2, [1], UNPIN), note(3, 2, [1], PIN)], []),
    (
        "held until a time, forgotten before it",
        ONE,
        [note(1, 1, [], said("pin", reason="audit\nuntil=100")), note(2, 99, [1], FORGET)],
        [],
    ),
    (
        "held until a time, forgotten then",
        ONE,
        [note(1, 1, [], said("pin", reason="\nuntil=100")), note(2, 100, [1], FORGET)],
        [],
    ),
    ("dropped at once", ONE, [note(1, 10, [], said("forget", reason="old\ntrash=0"))], []),
    ("a term that is unknown and one that is no number", ONE, [note(1, 10, [], said("forget", reason="old\nx=1\ntrash=soon"))], []),
    (
        "forgotten twice at once",
        ONE,
        [note(1, 10, [], said("forget", reason="a\ntrash=9")), note(2, 11, [], said("forget", reason="b\ntrash=0"))],
        [],
    ),
    ("tags added and removed", ONE, [note(1, 1, [], tags(["x", "y"], ["born"])), note(2, 2, [1], tags([], ["x"]))], []),
    ("a tag added and removed at once", ONE, [note(1, 1, [], tags(["x"], [])), note(2, 2, [], tags([], ["x"]))], []),
    ("a tag of old added and removed at once", ONE, [note(1, 1, [], tags(["born"], [])), note(2, 2, [], tags([], ["born"]))], []),
    (
        "values: what was seen comes first, whatever the times",
        ONE,
        [
            note(1, 5, [2], said("meta", key="loss", value="2"), said("describe", text=None)),
            note(2, 9, [], said("meta", key="loss", value=None), said("describe", text="second")),
        ],
        [],
    ),
    (
        "a ref moves, stays, is removed, comes back",
        REFS,
        [
            note(1, 40, [], ref("p", C)),
            note(2, 50, [1], ref("p", C)),
            note(3, 60, [2], ref("p", None)),
            note(4, 70, [3], ref("p", A)),
        ],
        [],
    ),
    ("two moves at once", REFS, [note(1, 40, [], ref("p", C)), note(2, 40, [], ref("p", A))], []),
    ("a snapshot from before a move", {A: snapshot(1, ["p"]), B: snapshot(30, ["p"])}, [note(1, 40, [], ref("p", A))], []),
    ("a snapshot that has seen the move", {A: snapshot(1, ["p"]), B: snapshot(30, ["p"], [b(1)])}, [note(1, 40, [], ref("p", A))], []),
    (
        "a snapshot that is named, with a clock ahead",
        {A: snapshot(1, ["p"]), B: snapshot(90, ["p"])},
        [note(1, 40, [], tags(["x"], [], B)), note(2, 41, [1], ref("p", A))],
        [],
    ),
    ("the last policy", {}, [note(1, 9, [], policy("a")), note(2, 1, [1], policy("b"))], []),
    ("two policies at once", {}, [note(1, 1, [], policy("a")), note(2, 1, [], policy("b"))], []),
    ("one policy twice at once", {}, [note(1, 1, [], policy("a")), note(2, 1, [], policy("a"))], []),
    ("two policies at once, and one after both", {}, [note(1, 1, [], policy("a")), note(2, 1, [], policy("b")), note(3, 0, [1, 2], policy("c"))], []),
    ("a note that another has seen is missing", ONE, [note(1, 1, [9], FORGET)], []),
    ("a note that a snapshot has seen is missing", {A: snapshot(0), B: snapshot(0, [], [b(9)])}, [note(1, 1, [], FORGET)], []),
    ("a note cannot be read", ONE, [note(1, 1, [], FORGET)], [b(9)]),
    ("a lost note is given up", ONE, [note(1, 1, [9], FORGET), note(2, 2, [1, 9])], []),
    ("forgotten after a lost note was given up", ONE, [note(1, 1, [9], FORGET), note(2, 2, [1, 9]), note(3, 3, [2], FORGET)], []),
    ("a circle", ONE, [note(1, 5, [3], tags(["a"], [])), note(2, 1, [1], tags([], ["a"])), note(3, 3, [2], FORGET)], []),
]


def cases() -> list[dict]:
    made = []
    for what, snapshots, notes, unread in CASES:
        state = snapnotes.fold(dict(notes), set(unread), snapshots)
        given = {"notes": [{"id": id} | n for id, n in notes], "snapshots": [{"id": id} | c for id, c in snapshots.items()]}
        made.append({"what": what} | given | {"unread": unread, "state": state})
    return made
