"""The encoder in float64 numpy, written from its definition."""

import math

import numpy as np

erf = np.vectorize(math.erf)


def encode(weights, pixels, frame_mask, tubelet_size, num_heads):
    """One video's real tokens and their mean, without padding or batch.

    Args:
        weights: dict of arrays by the end of their Keras path.
        pixels: uint8 array `(frames, height, width, 3)`; its grid is the one
            that the positions were learned on.
        frame_mask: bool array `(frames,)`, False at the end of the clip.
        tubelet_size: tuple `(frames, height, width)`.
        num_heads: int.
    """
    w = {k: np.asarray(x, "float64") for k, x in weights.items()}
    t, h, wd = tubelet_size
    frames = pixels[frame_mask]
    missing = -len(frames) % t
    frames = np.concatenate([frames] + [frames[-1:]] * missing)
    scaled = frames.astype("float64") / 127.5 - 1
    tokens = []
    for i in range(len(frames) // t):
        for r in range(pixels.shape[1] // h):
            for c in range(pixels.shape[2] // wd):
                box = scaled[
                    i * t : (i + 1) * t,
                    r * h : (r + 1) * h,
                    c * wd : (c + 1) * wd,
                ]
                token = np.tensordot(box, w["embedding/kernel"], 4)
                token += w["embedding/bias"]
                token += w["embedding/time_positions"][i]
                token += w["embedding/space_positions"][r, c]
                tokens.append(token)
    x = np.stack(tokens)

    layer = 0
    while f"transformer_layer_{layer}/attention_norm/gamma" in w:
        p = f"transformer_layer_{layer}/"
        y = _norm(x, w, p + "attention_norm")
        q, k, v = (
            np.einsum("nd,dhe->hne", y, w[f"{p}attention/{name}/kernel"])
            + w[f"{p}attention/{name}/bias"][:, None]
            for name in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(x.shape[1] / num_heads)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        heads = scores / scores.sum(-1, keepdims=True) @ v
        x = x + np.einsum(
            "hne,hed->nd", heads, w[p + "attention/attention_output/kernel"]
        )
        x = x + w[p + "attention/attention_output/bias"]
        y = _norm(x, w, p + "mlp_norm")
        y = y @ w[p + "mlp_intermediate/kernel"]
        y = y + w[p + "mlp_intermediate/bias"]
        y = y * (1 + erf(y / math.sqrt(2))) / 2
        x = x + y @ w[p + "mlp_output/kernel"] + w[p + "mlp_output/bias"]
        layer += 1
    x = _norm(x, w, "output_norm")
    return x, x.mean(axis=0)


def _norm(x, w, name):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    return x * w[f"{name}/gamma"] + w[f"{name}/beta"]
