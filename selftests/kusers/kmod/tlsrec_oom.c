// SPDX-License-Identifier: GPL-2.0-only
/*
 * An AEAD of another driver, which has no memory when a test says so. While it is
 * loaded new keys get it.
 */

#include <crypto/internal/aead.h>
#include <linux/module.h>

static char *alg = "gcm(aes)";
module_param(alg, charp, 0444);
MODULE_PARM_DESC(alg, "name of the algorithm");

static char *driver;
module_param(driver, charp, 0444);
MODULE_PARM_DESC(driver, "name of the driver that does the work");

static int fail_encrypt;
module_param(fail_encrypt, int, 0644);
MODULE_PARM_DESC(fail_encrypt, "the so manieth encryption from now fails");

static int fail_decrypt;
module_param(fail_decrypt, int, 0644);
MODULE_PARM_DESC(fail_decrypt, "the so manieth decryption from now fails");

static int fail_more;
module_param(fail_more, int, 0644);
MODULE_PARM_DESC(fail_more, "so many fail after the one that fails");

static bool spoil;
module_param(spoil, bool, 0644);
MODULE_PARM_DESC(spoil, "what fails has written to its target");

struct oom_ctx {
	struct crypto_aead	*inner;
};

static int oom_init(struct crypto_aead *tfm)
{
	struct oom_ctx *ctx = crypto_aead_ctx(tfm);

	ctx->inner = crypto_alloc_aead(driver, 0, 0);
	if (IS_ERR(ctx->inner))
		return PTR_ERR(ctx->inner);
	crypto_aead_set_reqsize(tfm, sizeof(struct aead_request) +
				     crypto_aead_reqsize(ctx->inner));
	return 0;
}

static void oom_exit(struct crypto_aead *tfm)
{
	struct oom_ctx *ctx = crypto_aead_ctx(tfm);

	crypto_free_aead(ctx->inner);
}

static int oom_setkey(struct crypto_aead *tfm, const u8 *key, unsigned int len)
{
	struct oom_ctx *ctx = crypto_aead_ctx(tfm);

	return crypto_aead_setkey(ctx->inner, key, len);
}

static int oom_setauthsize(struct crypto_aead *tfm, unsigned int size)
{
	struct oom_ctx *ctx = crypto_aead_ctx(tfm);

	return crypto_aead_setauthsize(ctx->inner, size);
}

/* The inner driver's request, whose result goes to whoever made @req. */
static struct aead_request *inner_request(struct aead_request *req)
{
	struct oom_ctx *ctx = crypto_aead_ctx(crypto_aead_reqtfm(req));
	struct aead_request *inner = aead_request_ctx(req);

	aead_request_set_tfm(inner, ctx->inner);
	aead_request_set_callback(inner, aead_request_flags(req),
				  req->base.complete, req->base.data);
	aead_request_set_crypt(inner, req->src, req->dst, req->cryptlen,
			       req->iv);
	aead_request_set_ad(inner, req->assoclen);
	return inner;
}

/* Is it this one? @nth counts down, and is 0 when the last one has failed. */
static bool fails(int *nth)
{
	if (!*nth || --*nth)
		return false;
	if (fail_more) {
		fail_more--;
		*nth = 1;
	}
	return true;
}

static int oom_encrypt(struct aead_request *req)
{
	struct aead_request *inner = inner_request(req);
	DECLARE_CRYPTO_WAIT(wait);

	if (!fails(&fail_encrypt))
		return crypto_aead_encrypt(inner);
	if (spoil) {
		aead_request_set_callback(inner, aead_request_flags(req),
					  crypto_req_done, &wait);
		crypto_wait_req(crypto_aead_encrypt(inner), &wait);
	}
	return -ENOMEM;
}

static int oom_decrypt(struct aead_request *req)
{
	if (fails(&fail_decrypt))
		return -ENOMEM;
	return crypto_aead_decrypt(inner_request(req));
}

static struct aead_alg oom_alg = {
	.init		= oom_init,
	.exit		= oom_exit,
	.setkey		= oom_setkey,
	.setauthsize	= oom_setauthsize,
	.encrypt	= oom_encrypt,
	.decrypt	= oom_decrypt,
	.maxauthsize	= 16,
	.base		= {
		.cra_priority		= 100000,
		.cra_flags		= CRYPTO_ALG_ASYNC,
		.cra_blocksize		= 1,
		.cra_ctxsize		= sizeof(struct oom_ctx),
		.cra_module		= THIS_MODULE,
	},
};

static int __init oom_module_init(void)
{
	struct crypto_alg *base = &oom_alg.base;
	struct crypto_aead *inner;

	if (!driver)
		return -EINVAL;
	inner = crypto_alloc_aead(driver, 0, 0);
	if (IS_ERR(inner))
		return PTR_ERR(inner);
	oom_alg.ivsize = crypto_aead_ivsize(inner);
	crypto_free_aead(inner);
	if (strscpy(base->cra_name, alg, sizeof(base->cra_name)) < 0 ||
	    snprintf(base->cra_driver_name, sizeof(base->cra_driver_name),
		     "oom(%s)", driver) >= sizeof(base->cra_driver_name))
		return -ENAMETOOLONG;
	return crypto_register_aead(&oom_alg);
}

static void __exit oom_module_exit(void)
{
	crypto_unregister_aead(&oom_alg);
}

module_init(oom_module_init);
module_exit(oom_module_exit);
MODULE_DESCRIPTION("An AEAD without memory, for tests of tlsrec");
MODULE_LICENSE("GPL");
