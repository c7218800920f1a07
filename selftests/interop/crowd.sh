#!/bin/bash
# SPDX-License-Identifier: MIT
# A crowd at the door: tlsrec serve answers its 1,000th honest client in time beside 10,000 slow, silent and half-sent ones,
# and one address cannot have all places. (U6)
# kernels: 6.12
# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_files
make_server_certs
ulimit -n 20000
mark

cat >crowd.py <<'P'
import random, socket, ssl, sys, time

PORT, CA = int(sys.argv[1]), sys.argv[2]
ME = "127.0.0.1"

def context():
    ctx = ssl.create_default_context(cafile=CA)
    ctx.maximum_version = ssl.TLSVersion.TLSv1_2    # resumed without a key exchange, which takes emulated processors long
    return ctx

def hello():
    """The bytes of a real ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()

def connect(address=ME):
    return socket.create_connection(("127.0.0.1", PORT), 60, (address, 0))

def handshake(ctx, address=ME, session=None):
    return ctx.wrap_socket(connect(address), server_hostname="localhost", session=session)

def fetch(tls, path="page.txt"):
    tls.sendall(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
    got = b""
    while data := tls.recv(65536):
        got += data
    return got

class Stranger:
    """Says a part of what he should, or all of it very slowly."""
    data = hello()

    def __init__(self, number):
        self.number = number
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.bind((f"127.1.{number % 40}.{random.randrange(1, 250)}", 0))
        self.socket.connect_ex(("127.0.0.1", PORT))
        self.said = 0

    def speak(self):
        # Most are silent, some say half of it, some a byte at a time.
        end = {8: len(self.data) // 2, 9: self.said + 1}.get(self.number % 10, 0)
        try:
            self.said += self.socket.send(self.data[self.said:end]) if end > self.said else 0
        except OSError:
            pass

def beside(honest, strangers):
    """One honest client after the other, and before each of them so many strangers. Prints the longest time that one took."""
    ctx, session, worst, crowd = context(), None, 0, []
    for i in range(honest):
        crowd += [Stranger(i * strangers + n) for n in range(strangers)]
        del crowd[:-1000]
        for stranger in random.sample(crowd, min(len(crowd), strangers)):
            stranger.speak()
        begin = time.monotonic()
        with handshake(ctx, session=session) as tls:
            assert b"lazy dog" in fetch(tls)
            session = session or tls.session
        worst = max(worst, time.monotonic() - begin)
    print(f"{honest} were served beside {honest * strangers} strangers, the slowest in {worst:.1f} seconds")

def half_sent(count):
    """Whole handshakes and, a byte now and then, requests that never end. Returns when all were sent away."""
    ctx, session, sockets = context(), None, []
    for i in range(count):
        tls = handshake(ctx, f"127.2.{i % 40}.1", session)
        tls.sendall(b"GET /page.txt HTTP/1.1\r\nX: ")
        session = session or tls.session
        sockets.append(tls)
    print("ready", flush=True)
    while sockets:
        for tls in list(sockets):
            try:
                tls.sendall(b"x")
                tls.settimeout(0.01)
                gone = not tls.recv(1)
            except TimeoutError:
                continue
            except OSError:
                gone = True
            if gone:
                sockets.remove(tls)
        time.sleep(0.2)

def greedy(count):
    """One address: large files that it does not read. Never ends by itself."""
    ctx = context()
    keep = []
    for _ in range(count):
        s = connect("127.3.0.1")
        keep.append(s)
        tls = ctx.wrap_socket(s, server_hostname="localhost")
        keep.append(tls)
        tls.sendall(b"GET /large.bin HTTP/1.0\r\n\r\n")
        assert tls.recv(100)
    print("ready", flush=True)
    time.sleep(600)

def one(address):
    with handshake(context(), address) as tls:
        assert b"lazy dog" in fetch(tls)

def idle(count):
    """Keeps connections open after a request each; returns when the first is sent away."""
    ctx, sockets = context(), []
    for i in range(count):
        tls = handshake(ctx, f"127.4.0.{i + 1}")
        tls.sendall(b"GET /page.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert tls.recv(1000)
        sockets.append(tls)
    print("ready", flush=True)
    sockets[0].settimeout(100)
    while sockets[0].recv(1000):
        pass
    print("the first is gone", flush=True)

globals()[sys.argv[3]](*(int(a) if a.isdecimal() else a for a in sys.argv[4:]))
P
client() { timeout 300 python3 crowd.py "$port" "$PKI/ca.pem" "$@"; }
says() { grep -q "$1" "$2.log"; }

# ---- many ----

serve --cert "$PKI/ec.pem" --key "$PKI/ec.key" --handshake-timeout 300 --max-connections 100
server=$last_pid
background half client half_sent 120
half=$last_pid
check "half-sent requests take all places" until_true says ready half
check "1,000 honest clients are served beside 10,000 strangers" client beside 1000 10
sed 's/^/# /' "$WORK/log"
check "requests that never end end" until_true sh -c "! kill -0 $half"
check "those who half-sent them made room" grep -q 'no request: it had not come' "$WORK/serve-$port.log"
check "the oldest handshakes made room" grep -q 'not over when others needed the place' "$WORK/serve-$port.log"
check "the server is still the same" kill -0 "$server"
last_pid=$server
stop_last

# ---- few places ----

serve --cert "$PKI/ec.pem" --key "$PKI/ec.key" --max-connections 8 --max-per-address 4 --idle-timeout 600 --request-timeout 3
server=$last_pid
check "a request that never ends ends, though there is room" client half_sent 1
check "which the log has" grep -q 'no request: it took too long' "$WORK/serve-$port.log"
background greedy client greedy 4
greedy=$last_pid
check "one address takes what it may" until_true says ready greedy
refused() { ! client one 127.3.0.1 && grep -q '127.3.0.1:[0-9]* no connection: this address has' "$WORK/serve-$port.log"; }
check "and gets no more, since all of it is in use" refused
check "another one is served" client one 127.3.0.2
background idle client idle 4
check "others keep connections for later" until_true says ready idle
check "all places are taken, and somebody comes" client one 127.3.0.3
check "who was idle for longest made room" until_true says 'the first is gone' idle
check "which the log has" grep -q 'no request: it had not come when others needed' "$WORK/serve-$port.log"
kill "$greedy"
last_pid=$server
stop_last

check "the kernel carried the records" kernel_was_used
finish
