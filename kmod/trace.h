/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints: records out and in, keys and failures. Never key material. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM tlsrec

#if !defined(TLSREC_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define TLSREC_TRACE_H

#include <linux/tracepoint.h>
#include <net/sock.h>

DECLARE_EVENT_CLASS(tlsrec_record,
	TP_PROTO(const struct sock *sk, u64 seq, u8 type, unsigned int len),
	TP_ARGS(sk, seq, type, len),
	TP_STRUCT__entry(
		__field(const void *, sk)
		__field(u64, seq)
		__field(u32, len)
		__field(u8, type)
	),
	TP_fast_assign(
		__entry->sk = sk;
		__entry->seq = seq;
		__entry->len = len;
		__entry->type = type;
	),
	TP_printk("sk=%p seq=%llu type=%u len=%u", __entry->sk, __entry->seq,
		  __entry->type, __entry->len)
);

/* A record was encrypted; len is its payload in bytes. */
DEFINE_EVENT(tlsrec_record, tlsrec_record_tx,
	TP_PROTO(const struct sock *sk, u64 seq, u8 type, unsigned int len),
	TP_ARGS(sk, seq, type, len)
);

/* A record was decrypted and authenticated; len is its payload in bytes. */
DEFINE_EVENT(tlsrec_record, tlsrec_record_rx,
	TP_PROTO(const struct sock *sk, u64 seq, u8 type, unsigned int len),
	TP_ARGS(sk, seq, type, len)
);

/* A direction stopped for good: err is what programs see. */
TRACE_EVENT(tlsrec_fail,
	TP_PROTO(const struct sock *sk, bool tx, u64 seq, int err),
	TP_ARGS(sk, tx, seq, err),
	TP_STRUCT__entry(
		__field(const void *, sk)
		__field(u64, seq)
		__field(int, err)
		__field(bool, tx)
	),
	TP_fast_assign(
		__entry->sk = sk;
		__entry->seq = seq;
		__entry->err = err;
		__entry->tx = tx;
	),
	TP_printk("sk=%p %s seq=%llu err=%d", __entry->sk,
		  __entry->tx ? "tx" : "rx", __entry->seq, __entry->err)
);

/* A direction got its key; driver is the crypto API's name of what runs. */
TRACE_EVENT(tlsrec_key,
	TP_PROTO(const struct sock *sk, bool tx, u16 version, u16 cipher,
		 const char *driver),
	TP_ARGS(sk, tx, version, cipher, driver),
	TP_STRUCT__entry(
		__field(const void *, sk)
		__array(char, driver, 48)
		__field(u16, version)
		__field(u16, cipher)
		__field(bool, tx)
	),
	TP_fast_assign(
		__entry->sk = sk;
		strscpy(__entry->driver, driver, sizeof(__entry->driver));
		__entry->version = version;
		__entry->cipher = cipher;
		__entry->tx = tx;
	),
	TP_printk("sk=%p %s version=%#x cipher=%u driver=%s", __entry->sk,
		  __entry->tx ? "tx" : "rx", __entry->version,
		  __entry->cipher, __entry->driver)
);

#endif /* TLSREC_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
