"""Sizes and speeds as SVG: `python -m comparison.plots FILE.jsonl FOLDER` prints the name and the title of each plot."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "snap", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})

from matplotlib import pyplot  # noqa: E402 - the backend comes first

from .report import median, read, shares, stores  # noqa: E402

# Speed counts plain bytes of one version a second of wall time.
SPEEDS = ("push first", "push next", "restore last")


def draw(families, folder):
    folder.mkdir(exist_ok=True)
    names = [name for name in dict.fromkeys(name for _, results in families.values() for name in results)]
    colours = dict(zip(names, pyplot.get_cmap("tab10").colors))

    def bars(file, title, unit, log, tools, value):
        figure, axes = pyplot.subplots(figsize=(9, 0.9 + 0.16 * len(families) * len(tools)))
        for i, (family, (raw, results)) in enumerate(families.items()):
            for j, name in enumerate(tools):
                found = value(raw, results[name]) if name in results else None
                if found:
                    axes.barh(i + (j + 0.5) / len(tools) * 0.84 - 0.42, found, 0.84 / len(tools), color=colours[name], label=name if i == 0 else None)
        axes.set_yticks(range(len(families)), families)
        axes.invert_yaxis()
        axes.set_xscale("log" if log else "linear")
        axes.set_xlabel(unit)
        axes.set_title(title, loc="left")
        axes.grid(axis="x", linewidth=0.3)
        handles = [pyplot.Rectangle((0, 0), 1, 1, color=colours[name]) for name in tools]
        axes.legend(handles, tools, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
        figure.savefig(folder / file, bbox_inches="tight", metadata={"Date": None})
        pyplot.close(figure)
        return file, title

    plots = [bars("next.svg", "What a next version takes", "share of its bytes, less is better", True,
                  [name for name in names if stores(name)], lambda raw, rounds: shares(raw, rounds)[1])]
    for verb in SPEEDS:
        timed = [name for name in names if any(verb in rounds[0] for _, results in families.values() for n, rounds in results.items() if n == name)]
        plots.append(bars(f"{verb.replace(' ', '-')}.svg", f"Speed of: {verb}", "MB of plain bytes a second of wall time, more is better", False, timed,
                          lambda raw, rounds, verb=verb: raw[-1] / 1e6 / wall if (wall := median(rounds, verb)) else None))
    return plots


if __name__ == "__main__":
    for file, title in draw(read(Path(sys.argv[1])), Path(sys.argv[2])):
        print(f"{file}\t{title}")
