# SPDX-License-Identifier: MIT
"""Plots of what the parts of the benchmark measured, as scripts for gnuplot that print SVG."""
import profile_groups
from report import TITLES, Kernel

# Of those that cost so much that their groups can be seen.
GROUPED = ["sendfile", "send-64k", "send-16k", "send-4k", "recv-64k", "recv-segments"]
RATIOS = ["sendfile", "send-64k", "send-16k", "send-4k", "send-1k", "send-64", "splice-out", "recv-64k", "recv-16k", "recv-4k",
          "recv-segments", "recv-1k-records", "splice-in", "round-trip"]

HEAD = """set terminal svg size 900,400 font "sans-serif,13" background "white"
set style data histograms
set style histogram clustered gap 1
set style fill solid noborder
set boxwidth 0.9
set grid ytics lc rgb "#d0d0d0"
set border 3
set xtics nomirror rotate by 35 right
set ytics nomirror
set yrange [0:*]
set key outside top center horizontal
set datafile missing "-"
"""
COLOURS = ["#1b6ca8", "#e08e1b", "#5a9e4b", "#a23b72", "#7a7a7a", "#c8553d", "#3d8f8f", "#b8a13a", "#c9c9c9"]


def block(rows):
    """Data, of which the first column is a label."""
    lines = [" ".join([f'"{row[0]}"', *("-" if v is None else f"{v:.6g}" for v in row[1:])]) for row in rows]
    return "\n".join(["$data << END", *lines, "END"]) + "\n"


def bars(rows, titles, settings):
    """A bar for each column of each row."""
    plots = [f"$data using {i + 2}:xtic(1) title '{title}' lc rgb '{COLOURS[i]}'"
             for i, title in enumerate(titles)]
    return HEAD + settings + block(rows) + "plot " + ", ".join(plots)


def ratio(data):
    kernels = {name: Kernel(data, name) for name in data["kernels"]}
    rows = [[s, *(k.ratio(s, "tlsrec", "tls") for k in kernels.values())] for s in RATIOS]
    return bars(rows, [f"Linux {name}" for name in kernels],
                'set title "Instructions per record of tlsrec, as a ratio to the in-tree module"\n'
                "set arrow from graph 0, first 1 to graph 1, first 1 nohead dt 2\nset yrange [0:1.1]\n")


def groups(data):
    # The kernel in the middle stands for all.
    name = list(data["kernels"])[len(data["kernels"]) // 2]
    kernel, rows = Kernel(data, name), []
    for scenario in GROUPED:
        for contender in ("tls", "tlsrec"):
            result = kernel.get(scenario, contender)
            rows.append([f"{scenario} {TITLES[contender]}",
                         *(result["groups"][n] if result else None for n in profile_groups.NAMES)])
        # A gap.
        rows.append(["", *(None for n in profile_groups.NAMES)])
    return bars(rows, profile_groups.NAMES,
                f'set title "Where the instructions of a record go, Linux {name}"\nset style histogram rowstacked\nset key outside right top vertical\n')


def scripts(parts):
    """Name and script of each plot that can be drawn."""
    if "counts" in parts:
        yield "ratio", ratio(parts["counts"])
        yield "groups", groups(parts["counts"])
