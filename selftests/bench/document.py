# SPDX-License-Identifier: MIT
"""docs/performance.md, from what the parts of the benchmark measured."""
import collections

import profile_groups
from report import FIRST, HEADINGS, TITLES, WHAT, Kernel, cells, number, ratio

TRANSMIT = ["sendfile", "send-64k", "send-16k", "send-4k", "send-1k", "send-64"]
SERIES = ["6.1", "6.12", "7.2"]
# The names of contenders in the columns of tables.
PEERS = {"openssl": "OpenSSL", "tls": "in-tree", "tlsrec": "tlsrec"}

# What a number on each kernel is to be, and what is aimed at; otherwise on some kernels.
Asked = collections.namedtuple("Asked", "part what value sign required aim otherwise", defaults=[{}])


def count_ratio(scenario, other="tls"):
    return lambda kernel: kernel.ratio(scenario, "tlsrec", other)


def tax_ratio(scenario):
    return lambda kernel: kernel.tax_ratio(scenario)


def native_ratio(scenario, against):
    def value(rows):
        return next((r["ratio"] for r in rows if (r["scenario"], r["contender"], r["against"]) ==
                     (scenario, "tlsrec", against)), None)
    return value


def asked_of_counts():
    limits = {"sendfile": (0.83, 0.77), "send-64k": (0.80, 0.71, {"6.1": 0.86}), "send-16k": (0.88, 0.79, {"6.1": 0.91}),
              "send-4k": (0.86, 0.78), "send-1k": (0.86, 0.78), "send-64": (0.86, 0.78),
              "recv-64k": (0.82, 0.77), "recv-64k-nopad": (0.96, None), "recv-segments": (0.75, 0.66),
              "recv-1k-records": (0.55, 0.45)}
    for scenario, limit in limits.items():
        yield Asked("counts", f"instructions, {WHAT[scenario]}, / in-tree", count_ratio(scenario), "≤", *limit)
    yield Asked("counts", "instructions, sendfile, / OpenSSL in user space", count_ratio("sendfile", "openssl"), "≤", 0.87, 0.80)
    for scenario in TRANSMIT:
        yield Asked("counts", f"TLS tax, {WHAT[scenario]}, / in-tree", tax_ratio(scenario), "≤", 0.40, 0.25)


ASKED = [
    *asked_of_counts(),
]


def table(headings, rows):
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|--:" * (len(headings) - 1) + "|"]
    return lines + ["| " + " | ".join(r) + " |" for r in rows]


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
    for asked in ASKED:
        kernels = known.get(asked.part, {})
        values = {name: asked.value(kernels[name]) if name in kernels else None for name in SERIES}
        limits = f"{asked.sign} {asked.required:.2f}"
        limits += "".join(f" ({name}: {limit:.2f})" for name, limit in asked.otherwise.items())
        rows.append([asked.what, *(ratio(v) for v in values.values()), limits, f"{asked.sign} {asked.aim:.2f}" if asked.aim else "-",
                     verdict(asked, values)])
    return ["## Against what was asked for", "",
            "*Yes*: required on each kernel that was measured; *aim*: what was aimed at, too.", "",
            *table(["", *(f"Linux {name}" for name in SERIES), "required", "aim", "met"], rows)]


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
    lines = ["## Instructions per record", "",
             f"Counted exactly, by QEMU {data['qemu']}, one processor `max,-erms`, 1 GiB; TLS 1.3 with AES-GCM-128 where nothing"
             " else is said.", ""]
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


def markdown(parts, plots, notes):
    sections = [against_what_was_asked(parts), measured(parts)]
    if "counts" in parts:
        sections.append(counts(parts["counts"], plots))
    return "\n\n".join([INTRODUCTION.rstrip("\n"), *("\n".join(s) for s in sections), notes])
