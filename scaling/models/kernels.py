"""Fused attention kernels of accelerators, and when they can serve.

Dimensions: B sequences, T queries, S keys, H query heads, J kv heads, K size of a head.
"""

import logging
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import jax
import numpy as np

from scaling.models.sharding import on_each_device

LOG = logging.getLogger(__name__)
Kernel = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""(q [B, H, T, K], k [B, J, S, K], v [B, J, S, K]) -> [B, H, T, K], of queries that are scaled already."""
HEADS, KV_HEADS = ("batch", "heads", None, None), ("batch", "kv_heads", None, None)
"""Logical axes of queries, and of keys and values."""
LANES = 128
"""Of a TPU's vector registers: splash attention takes sequences in multiples of it."""
SPLASH_BLOCK = 512
"""Queries and keys that splash attention takes at once, at most."""


def kernel_for(platform: str, q_BHTK: jax.Array) -> Kernel | None:
    """The platform's fused kernel for such queries; None where there is none or it cannot serve, which is said once."""
    _, _, tokens, size = q_BHTK.shape
    if platform == "gpu":
        name, reason, kernel = "cuDNN", _not_cudnn(size, q_BHTK.dtype), cudnn
    elif platform == "tpu":
        name, reason, kernel = "splash", _not_splash(tokens, size), splash
    else:
        return None
    if reason is None:
        return kernel
    _say(f"{name} attention cannot serve: {reason}; attention by blocks is used, which is slower")
    return None


def cudnn(q_BHTK: jax.Array, k_BJSK: jax.Array, v_BJSK: jax.Array) -> jax.Array:
    """FlashAttention (Dao 2022) as cuDNN has it."""

    def here(*heads_first: jax.Array) -> jax.Array:
        q_BTHK, k_BSJK, v_BSJK = (x.swapaxes(1, 2) for x in heads_first)
        mixed_BTHK = jax.nn.dot_product_attention(
            q_BTHK, k_BSJK, v_BSJK, scale=1.0, is_causal=True, implementation="cudnn"
        )
        return mixed_BTHK.swapaxes(1, 2)

    return on_each_device(here, (HEADS, KV_HEADS, KV_HEADS), HEADS)(q_BHTK, k_BJSK, v_BJSK)


def splash(q_BHTK: jax.Array, k_BJSK: jax.Array, v_BJSK: jax.Array, interpret: bool = False) -> jax.Array:
    """FlashAttention as JAX's Pallas has it for TPUs, which skips blocks above the diagonal.

    With `interpret` it runs anywhere, slowly.
    """
    tokens = q_BHTK.shape[2]

    def here(q_BHTK: jax.Array, k_BJSK: jax.Array, v_BJSK: jax.Array) -> jax.Array:
        attend = _splash_kernel(q_BHTK.shape[1], tokens, interpret)
        found: jax.Array = jax.vmap(attend)(q_BHTK, k_BJSK, v_BJSK)
        return found.astype(q_BHTK.dtype)

    return on_each_device(here, (HEADS, KV_HEADS, KV_HEADS), HEADS)(q_BHTK, k_BJSK, v_BJSK)


@lru_cache(maxsize=16)
def _splash_kernel(heads: int, tokens: int, interpret: bool) -> Any:
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    block = next(size for size in range(min(SPLASH_BLOCK, tokens), 0, -LANES) if tokens % size == 0)
    sizes = kernels.BlockSizes(
        block_q=block, block_kv=block, block_kv_compute=block,
        block_q_dkv=block, block_kv_dkv=block, block_kv_dkv_compute=block,
        block_q_dq=block, block_kv_dq=block,
    )  # fmt: skip
    mask = masks.MultiHeadMask([masks.CausalMask((tokens, tokens)) for _ in range(heads)])
    with jax.ensure_compile_time_eval():
        return kernels.make_splash_mha_single_device(mask=mask, block_sizes=sizes, interpret=interpret)


def _not_cudnn(size: int, dtype: Any) -> str | None:
    """Why cuDNN cannot serve heads of `size` numbers of `dtype` on the GPU that is here."""
    if np.dtype(dtype).itemsize != 2:
        return f"it computes in 16 bits, and engine.compute.precision is {np.dtype(dtype).name}"
    device = jax.local_devices()[0]
    capability = getattr(device, "compute_capability", None)
    if device.platform != "gpu" or capability is None or "rocm" in device.client.platform_version.lower():
        return "this is no CUDA device"
    version = tuple(int(part) for part in str(capability).split("."))
    if version < (8, 0):
        return f"{device.device_kind} has compute capability {capability}, less than 8.0"
    most = 256 if version >= (9, 0) else 128
    return None if size <= most and size % 8 == 0 else f"heads of {size} are no multiple of 8 up to {most}"


def _not_splash(tokens: int, size: int) -> str | None:
    if tokens % LANES:
        return f"sequences of {tokens} tokens are no multiple of {LANES}"
    return None if size % 64 == 0 else f"heads of {size} are no multiple of 64"


@cache
def _say(sentence: str) -> None:
    LOG.warning("%s", sentence)
