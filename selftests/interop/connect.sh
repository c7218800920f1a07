#!/bin/bash
# SPDX-License-Identifier: MIT
# tlsrec connect and its ends: pipes, sockets, terminals and files that are full, empty, closed or broken, beside a server
# that reads when it likes. No direction waits for the other, nothing is stuck, and the exit status tells what was lost.
# shellcheck disable=SC2317 # functions are called by check
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_files
make_server_certs
mark

# relay.py SUBJECT [ARGUMENT...]: a server in Python and one connect.
cat >relay.py <<'P'
import fcntl, os, pty, select, signal, socket, ssl, subprocess, sys, termios, threading, time, tty

LIMIT = 100
ulp, pki = sys.argv[1:3]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(pki + "/ec.pem", pki + "/ec.key")
blob = os.urandom(1 << 16) * 96


class Server(threading.Thread):
    """One connection, given to a function; what that returns is result."""

    def __init__(self, talk):
        super().__init__(daemon=True)
        self.listener, self.talk, self.result = socket.create_server(("127.0.0.1", 0)), talk, "nothing"
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.start()

    def run(self):
        try:
            raw = self.listener.accept()[0]
            self.result = self.talk(context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False))
        except Exception as error:
            self.result = repr(error)


def connect(server, stdin, stdout, *options):
    p = subprocess.Popen(["tlsrec", "connect", "-q", "--ulp", ulp, "--cafile", pki + "/ca.pem", *options,
                          server.address], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
    # Also when this program is stuck because of it.
    watchdog = threading.Timer(LIMIT, p.kill)
    watchdog.daemon = True
    watchdog.start()
    return p


def pair(kind, output):
    """Our end and the one for connect."""
    if kind == "pipe":
        r, w = os.pipe()
        return (r, w) if output else (w, r)
    if kind == "socket":
        a, b = socket.socketpair()
        return a.detach(), b.detach()
    if kind == "terminal":
        ours, theirs = pty.openpty()
        tty.setraw(theirs)
        return ours, theirs
    f = os.open("file-%d" % output, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    return os.dup(f), f


def read_line(fd, line):
    got, end = b"", time.time() + LIMIT
    while len(got) < len(line) and time.time() < end:
        # Of a file, what is not there yet is its end.
        part = os.read(fd, len(line) - len(got))
        got += part
        if not part:
            time.sleep(0.01)
    assert got == line, (got, line)


def finish(p, status, server, result):
    error = p.communicate(timeout=LIMIT)[1]
    server.join(LIMIT)
    print(p.returncode, error, server.result)
    assert p.returncode == status, "exit status %d, wanted %d" % (p.returncode, status)
    assert result is None or server.result == result, server.result
    return error


def echo(s):
    while data := s.recv(1000):
        s.sendall(data[::-1])
    return "end"


def dialog(kind_in, kind_out):
    """Each line is answered before the next one is sent."""
    server = Server(lambda s: [s.sendall(s.recv(1000)[::-1]) for _ in range(20)] and s.unwrap() and "end")
    (to, stdin), (back, stdout) = pair(kind_in, False), pair(kind_out, True)
    if kind_out == "file":
        back = os.open("file-1", os.O_RDONLY)
    p = connect(server, stdin, stdout)
    os.close(stdin)
    for i in range(20):
        line = b"line %d" % i
        os.write(to, line)
        read_line(back, line[::-1])
    finish(p, 0, server, None)


def gulp(s):
    """Takes all, and sends as much as there is room for meanwhile; the rest then."""
    got, sent = bytearray(), 0
    s.setblocking(False)
    while len(got) < len(blob):
        select.select([s], [s] if sent < len(blob) else [], [], 1)
        try:
            got += s.recv(1 << 20)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        try:
            if sent < len(blob):
                sent += s.send(blob[sent:sent + 16384])
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
    taken.set()
    s.setblocking(True)
    s.sendall(blob[sent:])
    s.unwrap()
    return bytes(got) == blob


def spout(s):
    """Sends all before it reads any."""
    s.sendall(blob)
    got = bytearray()
    while len(got) < len(blob):
        got += s.recv(1 << 20)
    s.unwrap()
    return bytes(got) == blob


taken = threading.Event()


def writer(fd):
    view = memoryview(blob)
    while view:
        view = view[os.write(fd, view[:65536]):]


def reader(fd):
    got = bytearray()
    while len(got) < len(blob):
        got += os.read(fd, 1 << 16)
    assert got == blob, "what came is not what was sent"


def one_way_at_a_time(kind, talk):
    """Standard output is read only once all of standard input is gone, or the reverse."""
    server = Server({"gulp": gulp, "spout": spout}[talk])
    (to, stdin), (back, stdout) = pair(kind, False), pair(kind, True)
    p = connect(server, stdin, stdout)
    os.close(stdin)
    if talk == "gulp":
        writer(to)
        assert taken.wait(LIMIT), "the server did not get all while nobody read"
        reader(back)
    else:
        t = threading.Thread(target=writer, args=(to,), daemon=True)
        t.start()
        reader(back)
        t.join(LIMIT)
    finish(p, 0, server, True)


def terminated(kind, what):
    """SIGTERM while connect waits for the server, or for room on either side."""
    stuck = threading.Event()

    def talk(s):
        if what == "output":
            try:
                s.sendall(blob)
            except OSError:
                pass
        stuck.wait(LIMIT)
    server = Server(talk)
    (to, stdin), (back, stdout) = pair(kind, False), pair(kind, True)
    p = connect(server, stdin, stdout)
    if what == "input":
        os.set_blocking(to, False)
        quiet = 0
        while quiet < 20:
            try:
                os.write(to, blob[:4096])
                quiet = 0
            except BlockingIOError:
                quiet += 1
                time.sleep(0.05)
    elif what == "output":
        size, before = 0, -1
        while not size or size != before:
            before = size
            time.sleep(0.5)
            size = int.from_bytes(fcntl.ioctl(back, termios.FIONREAD, b"    "), sys.byteorder)
    else:
        os.write(to, b"x")
        time.sleep(1)
    p.send_signal(signal.SIGTERM)
    p.wait(LIMIT)
    stuck.set()
    assert p.returncode == -signal.SIGTERM, p.returncode


def bad_input(*options):
    """A directory cannot be read. The server must not take what it got for everything."""
    server = Server(lambda s: s.recv(1000))
    p = connect(server, os.open("/", os.O_RDONLY), subprocess.DEVNULL, *options)
    error = finish(p, 1, server, None)
    assert b"standard input" in error and b"directory" in error, error
    assert "SSL" in server.result, "the server saw a clean end: " + str(server.result)


def bad_output(*options):
    """A full disk, in the middle of an upload."""
    def talk(s):
        s.sendall(b"x" * 1000)
        return s.recv(1000)
    server = Server(talk)
    p = connect(server, os.open("silence", os.O_RDWR), os.open("/dev/full", os.O_WRONLY), *options)
    error = finish(p, 1, server, None)
    assert b"No space left" in error, error
    assert "SSL" in server.result, "the server saw a clean end: " + str(server.result)


def unread(how):
    """A server that ends the connection with input still to come."""
    def talk(s):
        if how == "close_notify":
            # Not unwrap(), which waits for ours.
            s.setblocking(False)
            try:
                s.unwrap()
            except OSError:
                pass
        ready.wait(LIMIT)
        os.close(s.detach())
    ready = threading.Event()
    server = Server(talk)
    open("blob", "wb").write(blob)
    p = connect(server, os.open("blob", os.O_RDONLY), subprocess.DEVNULL, "-N")
    threading.Timer(2, ready.set).start()
    finish(p, 6, server, None)


def reader_leaves():
    """Whoever reads standard output has seen enough."""
    server = Server(echo)
    (to, stdin), (back, stdout) = pair("pipe", False), pair("pipe", True)
    p = connect(server, stdin, stdout)
    os.close(stdout)
    os.write(to, b"one")
    read_line(back, b"eno")
    os.close(back)
    os.write(to, b"two")
    finish(p, 0, server, None)


def closed(fd):
    """Without one of its standard files; the server sees nothing but what it is sent, and sends something."""
    def talk(s):
        s.sendall(b"answer")
        s.unwrap()
        return "clean"
    server = Server(talk)
    command = 'exec tlsrec connect --ulp "%s" --cafile "%s/ca.pem" %s %s>&-' % (ulp, pki, server.address, fd)
    p = subprocess.Popen(["bash", "-c", command], stdin=os.open("silence", os.O_RDWR), stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    out, error = p.communicate(timeout=LIMIT)
    server.join(LIMIT)
    print(p.returncode, out, error, server.result)
    assert p.returncode == (1 if fd == "1" else 0), p.returncode
    assert out == (b"" if fd == "1" else b"answer"), out
    assert fd != "1" or b"standard output" in error, error
    assert fd == "1" or server.result == "clean", server.result


globals()[sys.argv[3]](*sys.argv[4:])
P
run() { timeout 150 python3 relay.py "$ULP" "$PKI" "$@"; }

# ---- U12: no end holds up the other, no lock is kept while waiting ----

for kind in pipe socket terminal; do
	check "U12: a dialog, $kind to $kind" run dialog "$kind" "$kind"
done
check "U12: a dialog, pipe to file" run dialog pipe file
revolves() {
	{ echo one; sleep 1; echo two; sleep 3; } |
		timeout 60 tlsrec connect -q --ulp "$ULP" --cafile "$PKI/ca.pem" "localhost:$port" | timeout 60 cat >got &
	until_true grep -q owt got && [ "$(cat got)" = $'eno\nowt' ]
}
(cd www && exec openssl s_server -rev -accept 4000 -cert "$PKI/ec.pem" -key "$PKI/ec.key") >/dev/null 2>&1 <&"$SILENCE" &
last_pid=$!
pids+=("$last_pid")
wait_for_port 4000
check "U12: what s_server -rev answers comes at once" revolves
stop_last
for kind in pipe socket; do
	check "U12: a server gets all while nobody reads what it says, ${kind}s" run one_way_at_a_time "$kind" gulp
	check "U12: a server that does not read is heard, ${kind}s" run one_way_at_a_time "$kind" spout
done
for kind in pipe socket terminal; do
	for what in nothing input output; do
		check "U12: SIGTERM ends it, ${kind}s, $what in the way" run terminated "$kind" "$what"
	done
done

# ---- U9: the exit status tells, and so does the end of the connection ----

check "U9: an input that cannot be read" run bad_input
check "U9: an input that cannot be read, with -N" run bad_input -N
check "U9: an output that cannot be written" run bad_output
check "U9: an output that cannot be written, with -N" run bad_output -N
check "U9: a server that leaves with input to come" run unread close_notify
check "U9: a server that leaves without a word" run unread silence
check "U9: a reader that leaves is no error" run reader_leaves
for fd in 0 1 2; do
	check "U9: descriptor $fd is closed" run closed "$fd"
done
no_output() { tlsrec --version >&-; }
check_status "U9: a version that cannot be printed" 1 "standard output" no_output

# ---- U14: one sentence, if all failed ----

(cd www && exec openssl s_server -WWW -accept 127.0.0.1:4001 -cert "$PKI/ec.pem" -key "$PKI/ec.key") \
	>/dev/null 2>&1 <&"$SILENCE" &
last_pid=$!
pids+=("$last_pid")
wait_for_port 4001
printf '127.0.0.1 both\n::1 both\n' >>/etc/hosts
second_address() {
	printf 'GET /page.txt HTTP/1.0\r\n\r\n' |
		tlsrec connect -q --ulp "$ULP" --cafile "$PKI/ca.pem" --name localhost both:4001 2>said | body >got
	cat said
	same got www/page.txt && [ ! -s said ]
}
check "U14: the second address works, the first is not mentioned" second_address
stop_last
both_fail() {
	! tlsrec connect -q --ulp "$ULP" both:4001 2>said
	cat said
	[ "$(wc -l <said)" = 1 ] && grep -F '[::1]:4001: Connection refused' said &&
		grep -F '127.0.0.1:4001: Connection refused' said
}
check "U14: all addresses that failed are in one sentence" both_fail

check "the kernel carried the records" kernel_was_used
finish
