"""What all notes mean together: NOTES.md, sections 1 to 5, for values as snapformat reads them.

Slow and plain: what a note has seen is a set. A *statement* is named by the note's place in the order and its own place in the note.
"""

from typing import Any

DEFAULT_TRASH = 604_800
Place = tuple[int, int]


def ordered(notes: dict[bytes, dict]) -> list[bytes]:
    """Section 1: what was seen first, then by time and id."""
    left, order = set(notes), []
    while left:
        free = [id for id in left if not any(seen in left for seen in notes[id]["seen"])]
        order.append(min(free or left, key=lambda id: (notes[id]["time"], id)))
        left.remove(order[-1])
    return order


def terms(text: str | None) -> tuple[str, dict[str, int]]:
    """Section 3."""
    line, _, rest = (text or "").partition("\n")
    found: dict[str, int] = {}
    for term in rest.split("\n"):
        name, equals, value = term.partition("=")
        if equals and value.lstrip("-").isdecimal():
            found.setdefault(name, int(value))
    return line, found


def fold(notes: dict[bytes, dict], unread: set[bytes], snapshots: dict[bytes, dict]) -> dict[str, Any]:
    order = ordered(notes)
    place = {id: at for at, id in enumerate(order)}
    seen: list[set[int]] = []
    for at, id in enumerate(order):
        near = {place[s] for s in notes[id]["seen"] if place.get(s, at) < at}
        seen.append(near.union(*(seen[s] for s in near)))
    heads = set(range(len(order))).difference(*seen)

    def has_seen(later: Place, earlier: Place) -> bool:
        return later[1] > earlier[1] if later[0] == earlier[0] else earlier[0] in seen[later[0]]

    said = [((at, n), s) for at, id in enumerate(order) for n, s in enumerate(notes[id]["statements"])]
    given_up = [at for at, id in enumerate(order) if not notes[id]["statements"]]
    named_in_seen = {s for note in notes.values() for s in note["seen"]} | {s for c in snapshots.values() for s in c["seen"]}
    lost = (named_in_seen - set(notes)) | unread
    for at in given_up:
        lost -= set(notes[order[at]]["seen"])

    policies = [(p, s["toml"]) for p, s in said if s["statement"] == "policy"]
    texts = {text for p, text in policies if not any(has_seen(other, p) for other, _ in policies)}
    refs = histories(notes, order, place, said, snapshots)
    state = {id: standing(id, c, said, [notes[n]["time"] for n in order], has_seen, given_up) for id, c in snapshots.items()}
    for id, found in state.items():
        found["refs"] = sorted(name for name, moves in refs.items() if moves[0][0] == id)
        left = {}
        for name, moves in refs.items():
            times = [after[1] for after, before in zip(moves, moves[1:]) if before[0] == id]
            if times and moves[0][0] != id:
                left[name] = times[0]
        found["left"] = left
        if lost:
            found["forgotten"] = None
    return {
        "heads": sorted(order[at] for at in heads),
        "lost": sorted(lost),
        "policy": sorted(texts),
        "refs": {name: [to for to, _ in moves] for name, moves in sorted(refs.items())},
        "snapshots": [{"id": id} | found for id, found in sorted(state.items())],
    }


def histories(notes: dict, order: list, place: dict, said: list, snapshots: dict) -> dict[str, list]:
    """Each ref with its moves, newest first: where to, and when."""
    named: dict[bytes, int] = {}
    for (at, _), statement in said:
        named.setdefault(statement.get("snapshot"), at)
    moves: dict[str, list] = {}
    for (at, n), s in said:
        if s["statement"] == "ref":
            time = notes[order[at]]["time"]
            moves.setdefault(s["name"], []).append(((at, 1, n), s["snapshot"], time))
    for id, commit in snapshots.items():
        before = named.get(id, len(order))
        after = max([place[s] + 1 for s in commit["seen"] if s in place], default=0)
        later = [at for at in range(after, before) if notes[order[at]]["time"] > commit["time"]]
        at = later[0] if later else before
        for name in commit["refs"]:
            moves.setdefault(name, []).append(((at, 0, commit["time"], id), id, commit["time"]))
    found = {}
    for name, all_moves in moves.items():
        history: list = []
        for _, to, time in sorted(all_moves, key=lambda move: move[0]):
            if not history or history[0][0] != to:
                history.insert(0, (to, time))
        found[name] = history
    return found


def standing(id: bytes, commit: dict, said: list, times: list, has_seen: Any, given_up: list[int]) -> dict[str, Any]:
    """What is said of one snapshot."""
    about = [(p, s) for p, s in said if s.get("snapshot") == id]

    def of(kind: str) -> list:
        return [(p, s) for p, s in about if s["statement"] == kind]

    tags = set(commit["tags"])
    changes = of("tags")
    for tag in {t for _, s in changes for t in s["add"] + s["remove"]}:
        added = [p for p, s in changes if tag in s["add"]]
        removed = [p for p, s in changes if tag in s["remove"]]
        if any(not any(has_seen(r, a) for r in removed) for a in added):
            tags.add(tag)
        elif removed:
            tags.discard(tag)
    meta = dict(commit["meta"])
    for _, s in of("meta"):
        meta[s["key"]] = s["value"]
    described = of("describe")
    pins = []
    for p, s in of("pin"):
        if not any(has_seen(u, p) for u, _ in of("unpin")):
            line, found = terms(s["reason"])
            pins.append({"reason": line or None, "until": found.get("until")})
    counting = []
    others = [p for p, s in about if s["statement"] != "forget"]
    for p, s in of("forget"):
        time = times[p[0]]
        held = any(pin["until"] is None or [pin["until"], 0] > time for pin in pins)
        knows = all(has_seen(p, o) for o in others) and all(has_seen(p, (g, 0)) for g in given_up)
        if knows and not held:
            line, found = terms(s["reason"])
            trash = found.get("trash", -1)
            trash = trash if trash >= 0 else DEFAULT_TRASH
            counting.append((line, [time[0] + trash, time[1]] if trash else None))
    forgotten = None
    if counting:
        ends = [end for _, end in counting if end is not None]
        forgotten = {"reason": counting[-1][0], "until": max(ends) if ends else None}
    return {
        "tags": sorted(tags),
        "meta": {key: value for key, value in sorted(meta.items()) if value is not None},
        "description": described[-1][1]["text"] if described else commit["description"],
        "pins": pins,
        "forgotten": forgotten,
    }
