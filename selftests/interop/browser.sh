#!/bin/bash
# SPDX-License-Identifier: MIT
# guest: -r trixie -p replace_tls=1 -M 2048 -t 900
# kernels: 6.12 newest
#
# Chromium without a window as the client of nginx with KTLS: a page fetches a large file over both
# versions of TLS and shows the hashes of what came.
# shellcheck disable=SC2317 # functions are called by check
# shellcheck disable=SC2034 # for lib.sh
ULP=tls
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

make_server_certs
mkdir www
head -c 8388608 /dev/urandom >www/large.bin
sum=$(sha256sum <www/large.bin | cut -d' ' -f1)
cat >www/page.html <<'P'
<!DOCTYPE html>
<title>hash</title>
<p id="result">nothing yet</p>
<script>
async function hash(url) {
	const data = await (await fetch(url, { cache: "no-store" })).arrayBuffer();
	const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
	return Array.from(sum, b => b.toString(16).padStart(2, "0")).join("");
}
(async () => {
	const one = await hash("https://localhost:4012/large.bin"), other = await hash("https://localhost:4013/large.bin");
	document.getElementById("result").textContent = "TLS 1.2: " + one + ", TLS 1.3: " + other;
})();
</script>
P

# shellcheck disable=SC2016 # nginx's own variables
ktls_nginx '$server_protocol $ssl_protocol $ssl_cipher $status $body_bytes_sent $uri "$http_user_agent"' \
	'types { text/html html; }' 'add_header Access-Control-Allow-Origin *;' 'log_not_found off;'
check "nobody else is the kernel's TLS" in_the_place_of_tls

# The browser knows nothing of our CA: it takes the certificate by the hash of its key.
pin=$(openssl x509 -in "$PKI/ec.pem" -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64)
browser_version=$(chromium --version 2>/dev/null | sed 's/[^0-9]*\([0-9.]*\).*/\1/')
server="nginx $(nginx_version) with OpenSSL $(openssl_version)"

browse() {
	mark
	timeout 400 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
		--disable-background-networking --disable-component-update --disable-extensions --disable-sync \
		--user-data-dir="$WORK/profile" --ignore-certificate-errors-spki-list="$pin" --host-resolver-rules="MAP * 127.0.0.1" \
		--timeout=300000 --virtual-time-budget=1000000 --dump-dom https://localhost:4013/page.html >dom 2>"$WORK/browser.log"
	tail -n 5 "$WORK/browser.log"
	cat dom
	grep -q "TLS 1.2: $sum, TLS 1.3: $sum" dom && expect TlsTxSw -ge 2 TlsRxSw -ge 2 TlsrecTxBytes -ge 16777216 TlsDecryptError = 0 &&
		driver_named
}
served() {
	cat access.log
	grep "^HTTP/2.0 TLSv$1 .* 200 8388608 /large.bin .*Chrome" access.log
}
check "a page that fetches 8 MiB over TLS 1.2 and TLS 1.3" browse
driver=$(drivers)
for v in 1.2 1.3; do
	check "it came over HTTP/2 and TLS $v" served $v
	proved Chromium "$browser_version" client "TLS $v, HTTP/2" "fetch() and SHA-256 of 8 MiB from $server and KTLS; driver $driver"
done
nothing_bad() { ! grep -E '\[(error|crit|alert|emerg)\]' error.log; }
check "there is nothing bad in nginx's log" nothing_bad
finish
