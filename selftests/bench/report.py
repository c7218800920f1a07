# SPDX-License-Identifier: MIT
"""What bench measured: ratios, and tables for a terminal."""
import profile_groups

TITLES = {"tcp": "plain TCP", "tls": "in-tree", "tlsrec": "tlsrec", "openssl": "OpenSSL"}
# Who does TLS, in the order of columns.
PEERS = {c: TITLES[c] for c in ("openssl", "tls", "tlsrec")}
FIRST = ("1.3", 128)
# For those who read the document: what the scenarios are.
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


def has_vaes(row):
    """Of what was measured at native speed."""
    return "vaes" in row["driver"]


def size_of(size):
    return f"{size // 1024} KiB" if size < 1 << 20 else f"{size >> 20} MiB"


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
