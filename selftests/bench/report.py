# SPDX-License-Identifier: MIT
"""Tables from what bench measured: for a terminal, and docs/performance.md."""
import profile_groups

TITLES = {"tcp": "plain TCP", "tls": "in-tree", "tlsrec": "tlsrec", "openssl": "OpenSSL"}
FIRST = ("1.3", 128)
# In the document: what the rows are.
WHAT = {
    "sendfile": "sendfile of 256 KiB",
    "send-64k": "send of 64 KiB",
    "send-16k": "send of 16 KiB",
    "send-4k": "send of 4 KiB",
    "send-1k": "send of 1 KiB",
    "send-64": "send of 64 bytes",
    "more-1k": "send of 1 KiB with MSG_MORE",
    "more-64": "send of 64 bytes with MSG_MORE",
    "splice-out": "splice of 64 KiB from a pipe",
    "recv-64k": "recv of 64 KiB",
    "recv-16k": "recv of 16 KiB",
    "recv-4k": "recv of 4 KiB",
    "recv-64k-nopad": "recv of 64 KiB, NO_PAD",
    "recv-1k-records": "recv of 64 KiB, records of 1 KiB",
    "recv-segments": "recv of 64 KiB, segments of 1,460 bytes",
    "splice-in": "splice of 64 KiB to a pipe",
    "round-trip": "request and response of 100 bytes",
}


def receives(scenario):
    """Counted is the receiver's part only; of other scenarios both."""
    return scenario.startswith("recv") or scenario == "splice-in"


class Kernel:
    """The results of one kernel, by scenario, contender and key."""

    def __init__(self, data, kernel):
        self.results = {}
        self.keys, self.scenarios = [], []
        for r in data["results"]:
            if r["kernel"] != kernel:
                continue
            key = (r["version"], r["bits"])
            self.results[r["scenario"], r["contender"], key] = r
            if key not in self.keys:
                self.keys.append(key)
            if r["scenario"] not in self.scenarios:
                self.scenarios.append(r["scenario"])

    def get(self, scenario, contender, key=FIRST):
        # Plain TCP knows no keys and was counted once.
        return self.results.get((scenario, contender, FIRST if contender == "tcp" else key))

    def total(self, scenario, contender, key=FIRST):
        result = self.get(scenario, contender, key)
        return result["total"] if result else None

    def ratio(self, scenario, contender, other, key=FIRST):
        a, b = self.total(scenario, contender, key), self.total(scenario, other, key)
        return a / b if a and b else None

    def tax(self, scenario, contender, key=FIRST):
        """What TLS costs beyond plain TCP and the cipher itself."""
        result, plain = self.get(scenario, contender, key), self.total(scenario, "tcp")
        # In user space the profile does not tell the cipher from the rest.
        if not result or plain is None or contender in ("tcp", "openssl"):
            return None
        return result["total"] - plain - result["groups"]["cipher"]

    def tax_ratio(self, scenario, key=FIRST):
        ours, theirs = self.tax(scenario, "tlsrec", key), self.tax(scenario, "tls", key)
        # Nothing can be compared with a tax that plain TCP outdoes.
        return ours / theirs if ours is not None and theirs and theirs > 0 else None

    def spread(self):
        return max(r["spread"] for r in self.results.values())


def number(value):
    return "-" if value is None else f"{value:,.0f}"


def ratio(value):
    return "-" if value is None else f"{value:.3f}"


HEADINGS = [*TITLES.values(), "/ in-tree", "/ OpenSSL", "tax in-tree", "tax tlsrec", "tax ratio"]


def cells(kernel, scenario, key):
    return [number(kernel.total(scenario, c, key)) for c in TITLES] + [
        ratio(kernel.ratio(scenario, "tlsrec", "tls", key)), ratio(kernel.ratio(scenario, "tlsrec", "openssl", key)),
        number(kernel.tax(scenario, "tls", key)), number(kernel.tax(scenario, "tlsrec", key)),
        ratio(kernel.tax_ratio(scenario, key))]


def text(data, name, top):
    """For a terminal: every scenario of one kernel, with every key."""
    kernel, facts = Kernel(data, name), data["kernels"][name]
    lines = [f"Linux {facts['release']}, gcm(aes) by {facts['driver']}: instructions per record"
             f" (repetitions within {100 * kernel.spread():.2f} %)"]
    for key in kernel.keys:
        lines += ["", f"{f'TLS {key[0]}, AES-GCM-{key[1]}':22}" + "".join(f"{h:>13}" for h in HEADINGS)]
        for scenario in kernel.scenarios:
            if any((scenario, c, key) in kernel.results for c in TITLES):
                lines.append(f"{scenario:22}" + "".join(f"{c:>13}" for c in cells(kernel, scenario, key)))
    lines += ["", f"{'by group':31}" + "".join(f"{n:>17}" for n in profile_groups.NAMES)]
    for scenario in kernel.scenarios:
        for contender in TITLES:
            result = kernel.get(scenario, contender)
            if result:
                lines.append(f"{scenario:17}{contender:14}" + "".join(
                    f"{number(result['groups'][n]):>17}" for n in profile_groups.NAMES))
    for r in data["results"]:
        if top and r["kernel"] == name:
            lines += ["", f"{r['scenario']} {r['contender']} TLS {r['version']} {r['bits']}: {number(r['total'])}"]
            lines += [f"{n:10,.0f} {s}" for s, n in list(r["symbols"].items())[:top]]
    return "\n".join(lines) + "\n"


def table(headings, rows):
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|--:" * (len(headings) - 1) + "|"]
    return lines + ["| " + " | ".join(r) + " |" for r in rows]


INTRODUCTION = """<!-- SPDX-License-Identifier: MIT -->
<!-- Written by `make bench`; "What was tried" comes from selftests/bench/notes.md. -->
# Performance

What a TLS record costs in instructions, counted exactly, of tlsrec beside the in-tree `tls.ko`, plain TCP, and OpenSSL in
user space, on the same kernel, in the same boot, with the same volume. `make bench` measures it again and writes this file;
`selftests/bench/bench --help` has a choice of kernels, scenarios and contenders, and `--json`.

## How to read it

* The guest's one processor is emulated by QEMU with `-icount`: its time stamp counter counts the instructions it executes,
  and nothing else moves it. Two runs differ by what timers and caches of memory do, see *within* below.
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


def document(data, notes):
    m = data["machine"]
    lines = [INTRODUCTION]
    lines += ["## Measured", "",
              f"On {m['date']}, tlsrec {m['tlsrec']}, QEMU {m['qemu']}, one processor `max,-erms`, 1 GiB.", ""]
    kernels = {name: Kernel(data, name) for name in data["kernels"]}
    lines += table(["Linux", "gcm(aes) by", "OpenSSL", "repetitions within"],
                   [[f["release"], f["driver"], f["openssl"].split()[1], f"{100 * kernels[n].spread():.2f} %"]
                    for n, f in data["kernels"].items()])
    for name, kernel in kernels.items():
        lines += ["", f"## Linux {name}", "", "TLS 1.3, AES-GCM-128, instructions per record:", ""]
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
        others = [k for k in kernel.keys if k != FIRST]
        if others:
            lines += ["", "tlsrec as a ratio to the in-tree module, by version and key length:", ""]
            both = [s for s in kernel.scenarios if all(kernel.ratio(s, "tlsrec", "tls", k) for k in kernel.keys)]
            lines += table(["", *(f"{v}, {b}" for v, b in kernel.keys)],
                           [[WHAT[s], *(ratio(kernel.ratio(s, "tlsrec", "tls", k)) for k in kernel.keys)] for s in both])
    if all(kernel.keys == [FIRST] for kernel in kernels.values()):
        lines += ["", "TLS 1.2 and keys of 256 bits were not measured in this run."]
    return "\n".join(lines) + "\n\n" + notes
