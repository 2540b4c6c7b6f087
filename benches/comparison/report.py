"""Figures of all rounds as tables."""

import json
import statistics

from .measure import VERBS
from .tools import PEER_STORES, TOOLS, XOR_NAME

BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"


def read(path):
    """Figures by family, of lines of JSON: raw bytes of its versions, and of each tool all rounds."""
    families = {}
    for line in path.read_text().splitlines():
        found = json.loads(line)
        _, results = families.setdefault(found["family"], (found["raw"], {}))
        results.setdefault(found["tool"], []).append(found)
    return families


def median(rounds, verb, what="wall"):
    taken = [figures[verb][what] for figures in rounds if verb in figures]
    return statistics.median(taken) if taken else None


def shares(raw, rounds):
    """Growth of the repository for the first version, and for all later ones, as shares of their bytes: medians of the rounds."""
    first = statistics.median(figures["sizes"][0] for figures in rounds) / raw[0]
    if len(raw) == 1:
        return first, None
    return first, statistics.median(figures["sizes"][-1] - figures["sizes"][0] for figures in rounds) / sum(raw[1:])


def stores(name):
    return name == XOR_NAME or TOOLS[name].stores


def family_table(family, raw, results):
    """The figures of one family as Markdown."""
    rounds = max(map(len, results.values()))
    lines = [f"### `{family}`: {len(raw)} versions, {sum(raw) / 1e6:,.1f} MB, {rounds} round{'s' if rounds > 1 else ''}", "",
             "| tool | first | next | " + " | ".join(VERBS) + " | peak RSS | restored the same |",
             "|" + "---|" * (len(VERBS) + 5)]
    for name, rounds in results.items():
        first, following = shares(raw, rounds) if stores(name) else (None, None)
        cells = ["" if share is None else f"{share:.{digits}f}" for share, digits in ((first, 4), (following, 5))]
        for verb in VERBS:
            wall = median(rounds, verb)
            cells.append("" if wall is None else f"{wall:.2f} s ({median(rounds, verb, 'cpu'):.2f})")
        peaks = [figures[verb]["rss"] for figures in rounds for verb in VERBS if verb in figures]
        cells.append(f"{max(peaks) / 1e6:.0f} MB" if peaks else "")
        same = [figures[verb]["same"] for figures in rounds for verb in VERBS if "same" in figures.get(verb, {})]
        cells.append(("yes" if all(same) else "NO") if same else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines + ["", "Seconds of wall time, in brackets of CPU time.", ""])


def ratio_row(title, raw, ours, peers):
    cells = []

    def compare(value, of):
        known = {name: found for name, rounds in peers.items() if (found := of(rounds)) is not None}
        if value is None or not known:
            cells.append("")
        else:
            best = min(known, key=known.get)
            cells.append(f"{known[best] / value:.2f} ({best})")

    for which in (0, 1):
        compare(shares(raw, ours)[which], lambda rounds: shares(raw, rounds)[which])
    for verb in VERBS:
        compare(median(ours, verb), lambda rounds: median(rounds, verb))
    return f"| {title} | " + " | ".join(cells) + " |"


def ratio_table(families):
    """How many times smaller and faster snap is than the best peer at each, as Markdown."""
    lines = ["### snap beside the best peer", "", "Times smaller, and times faster by wall time, than the peer that is best at it, which is named; below 1, the peer is ahead.", "",
             "| family | first version | next versions | " + " | ".join(VERBS) + " |", "|" + "---|" * (len(VERBS) + 3)]
    for family, (raw, results) in families.items():
        peers = {name: rounds for name, rounds in results.items() if name in PEER_STORES}
        for name, note in (("snap", ""), ("snap-key", ", key file")):
            if name in results and peers:
                lines.append(ratio_row(f"`{family}`{note}", raw, results[name], peers))
    return "\n".join(lines + [""])


def text(families):
    return "\n".join([ratio_table(families)] + [family_table(name, raw, results) for name, (raw, results) in families.items()])


def write_into(path, families, head, plots):
    """Replaces what stands between the marks in a page of Markdown; `plots` are names of files and titles."""
    page = path.read_text()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    images = [f"![{title}](plots/{name})" for name, title in plots]
    path.write_text(f"{before}{BEGIN}\n{head}\n\n" + "\n\n".join(images) + f"\n\n{text(families)}{END}{after}")
