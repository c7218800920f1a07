#!/bin/bash
# SPDX-License-Identifier: MIT
# Peers that misbehave must hurt nobody but themselves: garbage, half handshakes, slow dribble, resets, silence.
# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_files
make_server_certs
mark

fetch() { timeout 60 curl -sS --cacert "$PKI/ca.pem" "$@" 2>"$WORK/log"; }
still_served() { fetch "https://localhost:$port/million.bin" -o got && same got www/million.bin; }

# A client in Python: connect, do what the argument says.
cat >peer.py <<'P'
import os, socket, ssl, struct, sys, time

def connect():
    return socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20)

def hello():
    """The bytes of a real ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    obj = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        obj.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()

def garbage():
    for size in (1, 4, 5, 6, 100, 5000, 70000):
        s = connect()
        try:
            s.sendall(os.urandom(size))
            s.shutdown(socket.SHUT_WR)
            s.recv(100)
        except OSError:
            pass
        s.close()

def plain_http():
    s = connect()
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    s.recv(100)

def half():
    """Cut the hello at many places and hang up."""
    data = hello()
    for n in list(range(0, 12)) + list(range(12, len(data), 40)):
        s = connect()
        s.sendall(data[:n])
        s.close()

def corrupt():
    data = bytearray(hello())
    for n in range(0, len(data), 25):
        bad = bytearray(data)
        bad[n] ^= 0xff
        s = connect()
        try:
            s.sendall(bad)
            s.settimeout(0.05)
            s.recv(100)
        except OSError:
            pass
        s.close()

def reset():
    data = hello()
    for n in (0, 3, 100, len(data)):
        s = connect()
        s.sendall(data[:n])
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

def dribble():
    """A byte at a time; must be cut off by the time-out, or get through."""
    s = connect()
    for b in hello():
        try:
            s.sendall(bytes([b]))
        except OSError:
            return
        time.sleep(0.05)
    s.recv(100)

def slow_but_fine():
    """The hello in three parts, then the rest of the handshake as usual."""
    ctx = ssl.create_default_context(cafile=sys.argv[3])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ctx.wrap_bio(incoming, outgoing, server_hostname="localhost")
    s = connect()
    def flush():
        data = outgoing.read()
        for i in range(0, len(data), max(1, len(data) // 3)):
            s.sendall(data[i:i + max(1, len(data) // 3)])
            time.sleep(0.1)
    def pump(call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                flush()
                incoming.write(s.recv(7))
    pump(tls.do_handshake)
    tls.write(b"GET /page.txt HTTP/1.0\r\n\r\n")
    flush()
    got = b""
    try:
        while b"lazy dog" not in got:
            got += pump(lambda: tls.read(1000))
    except ssl.SSLError:
        pass
    assert b"lazy dog" in got, got

def after_handshake():
    """Garbage instead of records, once the keys are in the kernel."""
    for bad in (b"\x17\x03\x03\x00\x20" + os.urandom(32), os.urandom(200), b"\x17\x03\x03\xff\xff" + bytes(100),
                b"\x16\x03\x03\x00\x04\x00\x00\x00\x00", b"GET / HTTP/1.0\r\n\r\n"):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            ctx = ssl.create_default_context(cafile=sys.argv[3])
            ctx.minimum_version = ctx.maximum_version = version
            raw = connect()
            tls = ctx.wrap_socket(raw, server_hostname="localhost")
            try:
                os.write(tls.fileno(), bad)
                tls.settimeout(1)
                tls.recv(100)
            except OSError:
                pass
            tls.close()

def silent():
    keep = [connect() for _ in range(int(sys.argv[3]))]
    time.sleep(600)

globals()[sys.argv[2]]()
P
peer() { timeout 100 python3 peer.py "$port" "$@"; }

serve --cert "$PKI/ec.pem" --key "$PKI/ec.key" --handshake-timeout 8 --max-connections 40
server=$last_pid

check "a server among hostile peers works" still_served
peer garbage >"$WORK/log" 2>&1
check "after garbage" still_served
peer plain_http >"$WORK/log" 2>&1
check "after HTTP without TLS" still_served
peer half >"$WORK/log" 2>&1
check "after half handshakes" still_served
peer corrupt >"$WORK/log" 2>&1
check "after corrupted hellos" still_served
peer reset >"$WORK/log" 2>&1
check "after resets" still_served
check "garbage in place of records" peer after_handshake "$PKI/ca.pem"
check "does not end the server" still_served
check "a peer that is slow but honest is served" peer slow_but_fine "$PKI/ca.pem"

background dribble timeout 60 python3 peer.py "$port" dribble
check "while somebody sends a byte at a time" still_served
background silent python3 peer.py "$port" silent 60
silent=$last_pid
sleep 2
check "while more silent peers than there is room for hold connections" still_served
check "again" still_served
gone() { grep -q 'took too long\|needed the place' "$WORK/serve-$port.log"; }
check "silent peers are sent away" until_true gone
kill "$silent"
check "the server is still the same" kill -0 "$server"
last_pid=$server
stop_last

# ---- hostile servers ----

bad_server() {
	next_port
	background "server-$port" python3 -c "
import socket, sys, time
s = socket.create_server(('127.0.0.1', $port))
while True:
    c, _ = s.accept()
    c.recv(10)
    try:
        $1
    except OSError:
        pass
    c.close()
"
	wait_for_port "$port"
}
connect() { timeout 30 tlsrec connect --ulp "$ULP" --cafile "$PKI/ca.pem" --timeout 3 "localhost:$port" -4; }

bad_server "c.sendall(b'HTTP/1.0 400 Bad Request\r\n\r\n')"
check_status "a server that does not speak TLS" 5 "TLS" connect
bad_server "pass"
check_status "a server that hangs up" 3 "tlsrec: ." connect
bad_server "time.sleep(20)"
check_status "a server that says nothing" 3 "tlsrec: ." connect
bad_server "c.sendall(bytes([22, 3, 3, 0, 4, 2, 0, 0, 100]))"
check_status "a server that stops in the middle" 3 "tlsrec: ." connect

# An honest handshake, then the connection is cut without close_notify.
next_port
background cut python3 -c "
import os, socket, ssl
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ctx.load_cert_chain('$PKI/ec.pem', '$PKI/ec.key')
s = socket.create_server(('127.0.0.1', $port))
while True:
    t = ctx.wrap_socket(s.accept()[0], server_side=True)
    t.sendall(b'half a sentence')
    os.close(t.detach())
"
wait_for_port "$port"
check_status "a stream that is cut off is told from one that ends" 6 "close_notify" connect
stop_last

check "the kernel carried the records" kernel_was_used
finish
