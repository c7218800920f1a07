# SPDX-License-Identifier: MIT
"""docs/performance.md, from what the parts of the benchmark measured."""
import collections
import textwrap

import profile_groups
from report import FIRST, HEADINGS, PEERS, TITLES, WHAT, Kernel, cells, has_vaes, number, ratio, size_of

TRANSMIT = ["sendfile", "send-64k", "send-16k", "send-4k", "send-1k", "send-64"]

# What a number on each kernel is to be, at most or at least; what is aimed at; and other limits for some kernels.
Asked = collections.namedtuple("Asked", "part what value sign required aim otherwise", defaults=[{}])


def count_ratio(scenario, other="tls"):
    return lambda kernel: kernel.ratio(scenario, "tlsrec", other)


def tax_ratio(scenario):
    return lambda kernel: kernel.tax_ratio(scenario)


def native_ratio(scenario, against, vaes):
    def value(rows):
        wanted = (scenario, "tlsrec", against, vaes)
        return next((r["ratio"] for r in rows if (r["scenario"], r["contender"], r["against"], has_vaes(r)) == wanted), None)
    return value


def asked_of_counts():
    limits = {"sendfile": (0.83, 0.77), "send-64k": (0.80, 0.71, {"6.1": 0.86}), "send-16k": (0.88, 0.79, {"6.1": 0.91}),
              "send-4k": (0.86, 0.78), "send-1k": (0.86, 0.78), "send-64": (0.86, 0.78),
              "recv-64k": (0.82, 0.77), "recv-64k-nopad": (0.96, None), "recv-segments": (0.75, 0.66),
              "recv-1k-records": (0.55, 0.45)}
    for scenario, limit in limits.items():
        yield Asked("counts", f"instructions, {WHAT[scenario]}, / in-tree", count_ratio(scenario), "≤", *limit)
    yield Asked("counts", "instructions, sendfile, / OpenSSL in user space", count_ratio("sendfile", "openssl"), "≤",
                0.87, 0.80)
    for scenario in TRANSMIT:
        yield Asked("counts", f"TLS tax, {WHAT[scenario]}, / in-tree", tax_ratio(scenario), "≤", 0.40, 0.25)


def asked_of_native():
    for scenario in ("sendfile", "send-16k", "recv-64k"):
        yield Asked("native", f"native throughput with VAES, {WHAT[scenario]}, / in-tree", native_ratio(scenario, "tls", True), "≥",
                    1.25, 1.5)
    yield Asked("native", "native throughput without VAES, sendfile, / OpenSSL in user space",
                native_ratio("sendfile", "openssl", False), "≥", 1.3, 1.6)
    yield Asked("native", "the same, OpenSSL handing 16 records to one send",
                native_ratio("sendfile-burst", "openssl", False), "≥", 1.3, 1.6)
    yield Asked("native", "native throughput, sendfile, two connections on two CPUs / one on one",
                native_ratio("sendfile-two-cpus", "tlsrec", True), "≥", 1.8, 2.0)


def asked_of_scale():
    yield Asked("scale", "bytes of an idle connection, TX and RX, beyond TCP", lambda k: k["memory"]["tlsrec"]["idle"],
                "≤", 2200, 1500)
    for record in ("16384", "1024"):
        what = f"records of {int(record):,} bytes, 10,000 connections / one"
        yield Asked("scale", what, lambda k, r=record: growth(k, r, "tlsrec"), "≤", 1.3, None)
        yield Asked("scale", f"{what}, / in-tree", lambda k, r=record: growth(k, r, "tlsrec") / growth(k, r, "tls"), "≤",
                    1.0, None)
    yield Asked("scale", "two connections on two CPUs / one on one", lambda k: None if k["cpus"]["busy"] else
                k["cpus"]["tlsrec"]["ratio"], "≥", 1.8, 2.0)


ASKED = [
    *asked_of_counts(),
    *asked_of_native(),
    *asked_of_scale(),
]


def table(headings, rows):
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|--:" * (len(headings) - 1) + "|"]
    return lines + ["| " + " | ".join(r) + " |" for r in rows]


def prose(*sentences):
    return ["", *textwrap.wrap(" ".join(sentences), 125), ""]


def series(release):
    return ".".join(release.split(".")[:2])


def by_kernel(part, data):
    """What was measured on each kernel, in the form that the functions of ASKED want."""
    if part == "counts":
        return {name: Kernel(data, name) for name in data["kernels"]}
    if part == "native":
        return {series(data["kernel"]): data["rows"]}
    return data["kernels"]


def verdict(asked, values):
    """Whether the numbers are what they are to be, on every kernel that was measured."""
    def reaches(value, limit):
        return value <= limit if asked.sign == "≤" else value >= limit
    values = {name: v for name, v in values.items() if v is not None}
    if not values:
        return "not measured"
    missed = [name for name, v in values.items() if not reaches(v, asked.otherwise.get(name, asked.required))]
    if missed:
        return "**not on " + ", ".join(missed) + "**"
    return "aim" if asked.aim and all(reaches(v, asked.aim) for v in values.values()) else "yes"


def against_what_was_asked(parts):
    rows = []
    known = {part: by_kernel(part, data) for part, data in parts.items()}
    names = sorted({name for part in {a.part for a in ASKED} for name in known.get(part, {})},
                   key=lambda name: [int(n) for n in name.split(".")])
    for asked in ASKED:
        kernels = known.get(asked.part, {})
        values = {name: asked.value(kernels[name]) if name in kernels else None for name in names}
        digits = 0 if asked.required >= 100 else 2
        limits = f"{asked.sign} {asked.required:,.{digits}f}"
        limits += "".join(f" ({name}: {limit:.{digits}f})" for name, limit in asked.otherwise.items())
        rows.append([asked.what, *("-" if v is None else f"{v:,.{digits and 3}f}" for v in values.values()), limits,
                     f"{asked.sign} {asked.aim:,.{digits}f}" if asked.aim else "-", verdict(asked, values)])
    return ["## Against what was asked for", "",
            "*Yes*: required on each kernel that was measured; *aim*: what was aimed at, too.", "",
            *table(["", *(f"Linux {name}" for name in names), "required", "aim", "met"], rows)]


INTRODUCTION = """<!-- SPDX-License-Identifier: MIT -->
<!-- Written by `make bench`; "What was tried" comes from selftests/bench/notes.md. -->
# Performance

What TLS records cost with tlsrec, beside the in-tree `tls.ko`, plain TCP, and OpenSSL in user space: in the same run, on the
same kernel, with the same volume. `make bench` measures all of it again, draws the plots and writes this file; `make bench
PARTS="counts scale"` measures only some parts anew. Each part is a program in `selftests/bench` that has `--help`.
"""

HOW_COUNTS = """
### How to read it

* The guest's one processor is emulated by QEMU with `-icount`: its time stamp counter counts the instructions it executes,
  and nothing else moves it. Two runs differ by what timers and caches of memory do, see *repetitions within* above.
* One thread has both ends of a loopback connection and calls them in turn. A sender's count has the whole of TCP, both
  ends of it, and a receiver that throws away what it gets without looking; a receiver's count has the receiving calls only.
  Each run warms its connection up first, and compares byte for byte what arrives then.
* A record has 16 KiB unless the row says otherwise: a send of 64 KiB makes four, sends with MSG_MORE fill one up. The
  round trip is two records, sent and received, with everything at both ends.
* *Tax* is the total minus plain TCP minus the cipher's assembly code, as the profile of the same run has it. Where plain
  TCP has more to do than kernel TLS (its own code for a small write with MSG_MORE is longer), the tax is negative.
* Instructions are grouped by the function they are in: *cipher* is the assembly code of AES-GCM; *crypto API* what stands
  before it, with the walk over pages and the entry to the FPU; *record layer* the module itself, of the
  in-tree module also the kernel's sk_msg, of tlsrec also its copy of what is received (2,050 in 16 KiB); *memory*
  allocation; the other names say what they are.
* OpenSSL stands for the cheapest a program can do in user space: one EVP call for each record, straight from (for
  *sendfile*) a mapped file, then `send`. Its own record layer would come on top. Small writes with MSG_MORE it gathers in a
  buffer of its own, without a system call for each.

What it does not say: how long anything takes. An instruction of AES-GCM is not one of a list walk, and a cache miss
counts nothing. The emulated processor has AES-NI and AVX but no VAES, so the cipher has a larger share than on a new
machine, and gains elsewhere look smaller. It has no fast string instructions (ERMS, FSRM), which would count byte by byte;
copies by `rep movsq` count 8 bytes an instruction, those of `memcpy` about 2.7.
"""


def measured(parts):
    rows = [[part, m["date"], m["tlsrec"], m["processors"]] for part, m in
            ((part, data["measured"]) for part, data in parts.items())]
    return ["## Measured", "", *table(["part", "on", "tlsrec", "processors"], rows)]


def versions(kernels):
    """TLS 1.2 and longer keys, of all kernels in one table."""
    keys = list(dict.fromkeys(k for kernel in kernels.values() for k in kernel.keys))
    rows = []
    for scenario in dict.fromkeys(s for kernel in kernels.values() for s in kernel.scenarios):
        if not any(kernel.get(scenario, "tlsrec", k) for kernel in kernels.values() for k in keys if k != FIRST):
            continue
        for version, bits in keys:
            row = [f"{WHAT[scenario]}, TLS {version}, {bits} bits"]
            for kernel in kernels.values():
                row += [number(kernel.total(scenario, c, (version, bits))) for c in ("tls", "tlsrec")]
                row.append(ratio(kernel.ratio(scenario, "tlsrec", "tls", (version, bits))))
            rows.append(row)
    if not rows:
        return []
    headings = [f"{n}: {what}" for n in kernels for what in ("in-tree", "tlsrec", "ratio")]
    return ["", "### TLS 1.2, and keys of 256 bits", "", *table(["", *headings], rows)]


def counts(data, plots):
    kernels = by_kernel("counts", data)
    lines = ["## Instructions per record", *prose(
        f"Counted exactly, by QEMU {data['qemu']}, one processor `max,-erms`, 1 GiB; TLS 1.3 with AES-GCM-128 where nothing",
        "else is said.")]
    lines += table(["Linux", "gcm(aes) by", "OpenSSL", "repetitions within"],
                   [[f["release"], f["driver"], f["openssl"].split()[1], f"{100 * kernels[n].spread():.2f} %"]
                    for n, f in data["kernels"].items()])
    lines += ["", f"![tlsrec as a ratio to the in-tree module]({plots}/ratio.svg)", "",
              f"![Where the instructions go]({plots}/groups.svg)", HOW_COUNTS.rstrip("\n")]
    for name, kernel in kernels.items():
        lines += ["", f"### Linux {name}", ""]
        lines += table(["", *HEADINGS], [[WHAT[s], *cells(kernel, s, FIRST)] for s in kernel.scenarios])
        lines += ["", "Where they go:", ""]
        rows = []
        for scenario in kernel.scenarios:
            for contender in ("tls", "tlsrec"):
                result = kernel.get(scenario, contender)
                if result:
                    rows.append([f"{WHAT[scenario]}, {TITLES[contender]}",
                                 *(number(result["groups"][n]) for n in profile_groups.NAMES)])
        lines += table(["", *profile_groups.NAMES], rows)
    return lines + versions(kernels)


def rates(data):
    """GB per second: a row for each scenario, driver and number of connections, a column for each contender."""
    known = {((r["scenario"], r["connections"], r["driver"]), r["contender"]): r["rate"] for r in data["rates"]}
    rows = []
    for key in dict.fromkeys(k for k, _ in known):
        scenario, connections, driver = key
        rows.append([f"{scenario}, {connections} x" if connections > 1 else scenario, driver,
                     *(f"{known[key, c] / 1e9:.2f}" if (key, c) in known else "-" for c in TITLES)])
    return table(["GB per second", "gcm(aes) by", *TITLES.values()], rows)


def native(data, plots):
    lines = ["## At native speed", *prose(
        f"Linux {data['kernel']} as a process (user-mode Linux) of a machine with {data['machine']}, with the kernel's own",
        f"assembly code for the cipher; {data['rounds']} rounds, in which the contenders take turns. Ratios are those of throughput",
        "in the same round, with the interval that has the median with 95 %."),
        f"![Throughput as a ratio]({plots}/native.svg)", ""]
    lines += table(["", "gcm(aes) by", "", "against", "ratio", "from", "to"],
                   [[r["scenario"], r["driver"], TITLES[r["contender"]], TITLES[r["against"]],
                     *(f"{r[n]:.2f}" for n in ("ratio", "low", "high"))] for r in data["rows"]])
    return [*lines, "", *rates(data)]


# In seconds, and in instructions.
SERVER_MEASURES = {
    "requests_per_second": ("requests per second", "requests per 10^9 instructions"),
    "cpu_per_gib": ("seconds of nginx per GiB", "10^9 instructions of nginx per GiB"),
    "ttfb_ms": ("ms to the first byte", "10^6 instructions to the first byte"),
    "p99_ms": ("99th percentile, ms", "99th percentile, 10^6 instructions"),
}


def server_table(known, measures, titles, ratios):
    headings, rows = [], []
    for title in titles:
        headings += [f"{title}: OpenSSL", "in-tree", "tlsrec", *(["/ in-tree", "/ OpenSSL"] if ratios else [])]
    for client, size in dict.fromkeys((c, s) for c, s, _ in known):
        row = [f"{client}, {size_of(size)}"]
        for what in measures:
            openssl, tls, tlsrec = (known[client, size, c][what] for c in PEERS)
            row += [f"{v:,.0f}" if v >= 10000 else f"{v:.4g}" for v in (openssl, tls, tlsrec)]
            row += [ratio(tlsrec / tls), ratio(tlsrec / openssl)] if ratios else []
        rows.append(row)
    return table(["", *headings], rows)


def servers(data, plots):
    lines = ["## Servers", *prose(
        "nginx with one worker serves files over TLS 1.3 with AES-GCM-128: OpenSSL in user space, the in-tree module, and",
        f"tlsrec in its place, one after the other in the same boot; rounds: {data['rounds']}. wrk and h2load-h1 talk HTTP/1.1 to",
        "it, h2load-h2 HTTP/2; they do their TLS in user space, and what they need counts in all but what is *of nginx*.")]
    if data["counted"]:
        lines += prose("In guests with one emulated processor for nginx and its client, whose clock counts instructions, so",
                       "that it does not matter what else this machine does; `NATIVE=1 make bench PARTS=servers` measures in",
                       "seconds, with the running kernel. Whether nginx's chunks of an HTTP/2 answer leave one by one or gathered",
                       "differs from run to run, with any contender, and by up to a third of the cost; and who waits for the one",
                       "processor makes the 99th percentile. Small differences there say nothing.")[1:]
    lines += [f"![Requests per second]({plots}/servers.svg)"]
    for name, kernel in data["kernels"].items():
        known = {(r["client"], r["file"], r["contender"]): r for r in kernel["rows"]}
        titles = {what: t[data["counted"]] for what, t in SERVER_MEASURES.items()}
        lines += ["", f"### nginx on Linux {name}", *prose(
            f"{kernel['release']}, gcm(aes) by {kernel['driver']}, nginx {kernel['nginx']}, OpenSSL {kernel['openssl']}"
            + (f"; rounds within {100 * kernel['spread']:.1f} %." if data["rounds"] > 1 else "."))]
        for measures, ratios in (list(titles)[:2], True), (list(titles)[2:], False):
            lines += [*server_table(known, measures, [titles[m] for m in measures], ratios), ""]
        lines.pop()
    return lines


def growth(kernel, record, contender):
    found = kernel["connections"][record][contender]
    return found["10000"]["total"] / found["1"]["total"]


def scale_table(kernels, part, rows, cell):
    """Rows of (key, title); a column for the in-tree module and one for tlsrec on each kernel."""
    known = {name: k[part] for name, k in kernels.items()}
    headings = [f"{name}: {PEERS[c]}" for name in known for c in ("tls", "tlsrec")]
    return table(["", *headings], [[title, *(cell(k, c, key) for k in known.values() for c in ("tls", "tlsrec"))]
                                   for key, title in rows])


def connection_rows(kernels, record):
    """Instructions, and how many times as many as with one connection."""
    numbers = next(iter(kernels.values()))["connections"][record]["tls"]

    def cell(found, contender, connections):
        totals = {n: r["total"] for n, r in found[record][contender].items()}
        return f"{totals[connections]:,} ({totals[connections] / totals['1']:.2f})"
    return scale_table(kernels, "connections", [(n, f"{int(n):,}") for n in numbers], cell)


def cpus_cell(found, contender, key):
    if key == "ratio":
        return "{ratio:.2f} ({low:.2f} to {high:.2f})".format(**found[contender])
    return f"{found[contender][key]:,}" if key != "clock" else f"{found[contender][key]:.2f}"


def scale(data, plots):
    kernels = data["kernels"]
    first = next(iter(kernels.values()))
    plain = ", ".join(f"{k['memory']['tcp']:,} on {name}" for name, k in kernels.items())
    lines = ["## Many connections", "", "### Memory", *prose(
        f"Bytes for each of {first['memory']['sockets']:,} connections, beyond those of plain TCP ({plain}):")]
    lines += scale_table(kernels, "memory", [
        ("ulp", "ULP selected"), ("tx", "and TLS_TX set"), ("tx_rx", "and TLS_RX set"), ("used", "after some data"),
        ("idle", "idle for a minute"), ("closed", "closed for a minute")], lambda f, c, key: number(f[c][key]))
    lines += ["", "### Set-up and tear-down", "", "Instructions of each call:", ""]
    lines += scale_table(kernels, "setup", [("ulp", "TCP_ULP"), ("tx", "TLS_TX"), ("rx", "TLS_RX"), ("close", "close")],
                         lambda f, c, key: number(f[c][key]))
    lines += ["", "### A record among many connections", "", f"![A record among many connections]({plots}/scale.svg)"]
    for record in first["connections"]:
        lines += prose(f"Instructions of a record of {int(record):,} bytes, sent and received, in turns over so many connections,",
                       "and in brackets how many times as many as with one:")
        lines += connection_rows(kernels, record)
    nothing = ", ".join(f"{k['cpus']['none']['ratio']:.2f} on {name}" for name, k in kernels.items())
    lines += ["", "### Two processors", *prose(
        "Records for each second that the processors of this machine worked for those of the guest: one connection on one of them,",
        "two connections on two; and the ratio of these (least and greatest of the rounds). Two loops without any call reach",
        f"{nothing}. By the clock it is the same on a machine that does nothing else.")]
    lines += scale_table(kernels, "cpus", [("one", "one"), ("two", "two"), ("ratio", "ratio"), ("clock", "ratio by the clock")],
                         cpus_cell)
    busy = [name for name, k in kernels.items() if k["cpus"]["busy"]]
    if busy:
        lines += ["", f"The machine did not have two processors to give ({', '.join(busy)}): these ratios say little."]
    return lines


def latency(data, _):
    lines = ["## Request and answer", *prose(
        "Milliseconds until an answer of as many bytes as the request has come, over loopback; TLS 1.3 with AES-GCM-128. Both ends",
        "share one emulated processor, whose clock goes by instructions, a nanosecond each, and jumps over what it waits for: what",
        "is above 40 had to wait for an acknowledgement that its receiver delayed. In brackets the worst round, where it had.")]
    for name, rows in data["kernels"].items():
        known = {((r["mtu"], r["nagle"], r["size"]), r["contender"]): r for r in rows}
        table_rows = []
        for key in dict.fromkeys(k for k, _ in known):
            mtu, nagle, size = key
            row = [f"MTU {mtu:,}, {'Nagle' if nagle else 'TCP_NODELAY'}, {size:,}"]
            for contender in ("tcp", "tls", "tlsrec"):
                found = known[key, contender]
                row.append(f"{found['mean'] / 1e3:.3f}" + (f" ({found['worst'] / 1e3:.0f})" if found["worst"] > 30e3 else ""))
            table_rows.append([*row, ratio(known[key, "tlsrec"]["mean"] / known[key, "tls"]["mean"])])
        lines += ["", f"### Linux {name}", "", *table(["", *(TITLES[c] for c in ("tcp", "tls", "tlsrec")), "/ in-tree"], table_rows)]
    return lines


def markdown(parts, plots, notes):
    sections = [against_what_was_asked(parts), measured(parts)]
    sections += [section(parts[part], plots) for part, section in
                 (("counts", counts), ("native", native), ("servers", servers), ("scale", scale),
                  ("latency", latency)) if part in parts]
    return "\n\n".join([INTRODUCTION.rstrip("\n"), *("\n".join(s) for s in sections), notes])
