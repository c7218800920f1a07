# SPDX-License-Identifier: MIT
"""Plots of what the parts of the benchmark measured, as scripts for gnuplot that print SVG."""
import profile_groups
from report import PEERS, TITLES, Kernel, has_vaes, size_of

# Of those that cost so much that their groups can be seen.
GROUPED = ["sendfile", "send-64k", "send-16k", "send-4k", "recv-64k", "recv-segments"]
RATIOS = ["sendfile", "send-64k", "send-16k", "send-4k", "send-1k", "send-64", "splice-out", "recv-64k", "recv-16k",
          "recv-4k", "recv-segments", "recv-1k-records", "splice-in", "round-trip"]

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
ONE = "set arrow from graph 0, first 1 to graph 1, first 1 nohead dt 2\n"
COLOURS = ["#1b6ca8", "#e08e1b", "#5a9e4b", "#a23b72", "#7a7a7a", "#c8553d", "#3d8f8f", "#b8a13a", "#c9c9c9"]


def block(rows):
    """Numbers and labels."""
    lines = [" ".join(f'"{v}"' if isinstance(v, str) else "-" if v is None else f"{v:.6g}" for v in row) for row in rows]
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
                + ONE + "set yrange [0:1.1]\n")


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
                f'set title "Where the instructions of a record go, Linux {name}"\n'
                "set style histogram rowstacked\nset key outside right top vertical\n")


def native(data):
    rows = [[f"{r['scenario']} / {TITLES[r['against']]}, {'VAES' if has_vaes(r) else 'AES-NI'}", r["ratio"], r["low"], r["high"]]
            for r in data["rows"] if r["contender"] != r["against"]]
    return (HEAD + 'set title "Throughput of tlsrec at native speed, as a ratio"\n'
            "set style histogram errorbars gap 1 lw 2\nset errorbars lt -1\nset lmargin 14\n" + ONE + block(rows)
            + f"plot $data using 2:3:4:xtic(1) notitle lc rgb '{COLOURS[0]}'")


def servers(data):
    """Of the kernel that was measured last."""
    name, kernel = list(data["kernels"].items())[-1]
    known = {(r["client"], r["file"], r["contender"]): r["requests_per_second"] for r in kernel["rows"]}
    rows = []
    for client, size in dict.fromkeys((c, s) for c, s, _ in known):
        openssl, tls, tlsrec = (known[client, size, c] for c in PEERS)
        rows.append([f"{client} {size_of(size)}", tls / openssl, tlsrec / openssl])
    return bars(rows, [PEERS["tls"], PEERS["tlsrec"]],
                f'set title "Requests per second of nginx on Linux {name}, OpenSSL in user space = 1"\n' + ONE)


def scale(data):
    """Lines for the module of each kernel, dashed for the in-tree one."""
    found = {(name, c): k["connections"]["16384"][c] for name, k in data["kernels"].items() for c in ("tls", "tlsrec")}
    numbers = list(next(iter(found.values())))
    rows = [[int(n), *(f[n]["total"] for f in found.values())] for n in numbers]
    lines = [f"$data using 1:{i + 2} with linespoints title '{PEERS[c]}, Linux {name}' lc rgb '{COLOURS[i // 2]}'"
             f" dt {1 if c == 'tlsrec' else 2} lw 2 pt 7" for i, (name, c) in enumerate(found)]
    return (HEAD + 'set title "Instructions of a record of 16 KiB, sent and received, by number of connections"\n'
            "set key outside right top vertical\nset logscale x\nset xtics norotate autofreq\n" + block(rows)
            + "plot " + ", ".join(lines))


def scripts(parts):
    """Name and script of each plot that can be drawn."""
    drawn = {"counts": {"ratio": ratio, "groups": groups}, "native": {"native": native}, "servers": {"servers": servers},
             "scale": {"scale": scale}}
    for part, data in parts.items():
        for name, script in drawn[part].items():
            yield name, script(data)
