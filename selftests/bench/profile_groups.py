# SPDX-License-Identifier: MIT
"""From the tables of tcgcount.c to symbols and to groups of them."""
import bisect
import collections
import re

# The first that matches the name of a symbol, or its module in brackets, is its group.
GROUPS = [
    # Of the modules with the ciphers what is written in C; their assembly is the next group's.
    ("crypto API", r"crypto_|__crypto|simd_|skcipher_|aead_|scatterwalk|memcpy_(to|from)_s(glist|catterwalk)|sg_|gcm_|gcmaes"
                   r"|generic_gcmaes|helper_|common_rfc4106|kernel_fpu|irq_fpu|(save|restore)_fpregs|switch_fpu|fpregs_|xfd_"
                   r"|aes_gcm_(aad_update|precompute|enc_update|dec_update|enc_final|dec_final) "
                   r"|.* \[(crypto_simd|cryptd|gcm|ctr|ccm)\]"),
    ("cipher", r".* \[(aesni_intel|ghash_clmulni_intel|libaes|chacha_x86_64|poly1305_x86_64)\]|ghash_|clmul_|aes_"),
    # sk_msg and the stream parser are the in-tree module's own.
    ("record layer", r"(__)?sk_msg|strp_|.* \[(tls|tlsrec)\]"),
    ("copy and clear", r"(__)?mem(cpy|set|move)|clear_(page|highpage)|rep_(movs|stos)|copy_(user|page|to_user|from_user|mc)"
                       r"|raw_copy|__?copy_(to|from|user)|skb_copy_bits|_copy_(to|from)_iter|copyin|copyout|clear_user"
                       r"|simple_copy_to_iter|(__)?skb_(copy_)?datagram_iter|skb_copy_datagram_iter|__check_(object|heap)"
                       r"|check_stack_object|__virt_addr_valid|is_vmalloc_addr"),
    ("memory", r"_*(kmem|kmalloc|kfree(?!_skb)|krealloc|slab|alloc_(page|slab|pages|frozen|from)|free_(page|unref|slab|large"
               r"|pcp|tail|one|frozen)|rmqueue|get_page_from|prep_(new|compound)|post_alloc|folio_(put|alloc)|put_(page|cpu"
               r"|partial)|get_pfnblock|zone_|mod_(zone|node|lruvec|memcg)|mem_cgroup|memcg|obj_cgroup|page_(frag|pool)"
               r"|build_detached|setup_object|discard_slab|new_slab|allocate_slab|get_partial|cond_accept|policy_nodemask"
               r"|free_pages|free_one|unfreeze|refill|lruvec|get_any_partial|shuffle|should_fail|barn|pcs)"),
    ("TCP/IP", r"_*(tcp|do_tcp|kernel_send|ip_|ip4|ipv4|inet|sk_|sock_|skb_|kfree_skb|consume_skb|napi|net_|netif|netdev"
               r"|dev_|loopback|eth_|dst_|nf_|validate_xmit|process_backlog|enqueue_to_backlog|raw_local|xfrm|bictcp|cubictcp|lock_sock"
               r"|release_sock|copy_skb_header|build_skb|alloc_skb|sys_(send|recv)|x64_sys_(send|recv)|security_so"
               r"|apparmor_so|tomoyo_so|bpf_lsm_so|hook_socket|aa_sk|mod_timer|rack|bpf_skops|copy_skb|simple_recv"
               r"|gso|gro|csum|raise_softirq|handle_softirq|do_softirq|local_bh|fib|rt_|neigh|apparmor_ip|bpf_sock"
               r"|cgroup_bpf_run_filter)"),
    ("splice and files", r"_*(splice|generic_splice|generic_file_splice|internal_get_user_pages|iov_iter|import_|pipe"
                         r"|page_cache|filemap|folio|shmem|xas_|xa_|do_sendfile|do_splice"
                         r"|direct_splice|sys_sendfile|x64_sys_(splice|sendfile)|touch_atime|atime|file_|vfs|rw_verify"
                         r"|fsnotify|gup|get_user_pages|try_grab|try_get_folio|want_pages|iter_|copy_splice)"),
]
REST = "rest"
USER = "user space"
# In the order of tables.
NAMES = ["cipher", "crypto API", "record layer", "copy and clear", "memory", "TCP/IP", "splice and files", REST, USER]
assert sorted(NAMES) == sorted([g for g, _ in GROUPS] + [REST, USER])
_COMPILED = [(g, re.compile(f"(?:{p})")) for g, p in GROUPS]


class Symbols:
    """The kernel's, from the lines of /proc/kallsyms."""

    def __init__(self, lines):
        found = []
        for line in lines:
            part = line.split()
            if len(part) >= 3 and part[1] in "tTwW":
                # What the compiler made of a function is that function.
                name = re.sub(r"\.(isra|part|constprop|cold|llvm)\b.*", "", part[2])
                found.append((int(part[0], 16), name, part[3].strip("[]") if len(part) > 3 else ""))
        found.sort()
        self.addresses = [f[0] for f in found]
        self.names = [f[1:] for f in found]

    def at(self, address):
        if address >> 47 == 0:
            return (USER, "")
        i = bisect.bisect_right(self.addresses, address) - 1
        return self.names[i] if i >= 0 else ("unknown", "")

    def add(self, table, phases, counter):
        """What the table has of these phases, to (symbol, module) in the counter."""
        with open(table, encoding="ascii") as lines:
            for line in lines:
                address, a, b = line.split()
                counter[self.at(int(address, 16))] += int(a) * ("A" in phases) + int(b) * ("B" in phases)


def group_of(symbol, module):
    if symbol == USER:
        return USER
    name = f"{symbol} [{module}]" if module else symbol
    return next((g for g, pattern in _COMPILED if pattern.match(name)), REST)


def by_group(by_symbol):
    groups = collections.Counter({name: 0 for name in NAMES})
    for (symbol, module), count in by_symbol.items():
        groups[group_of(symbol, module)] += count
    return groups
