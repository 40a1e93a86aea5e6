"""Attention divided among the devices of a Keras distribution, for JAX."""

import jax
from jax.sharding import PartitionSpec

# The mesh axes, beside the distribution's own for the batch, that attention
# divides its work along.
HEADS_AXIS = "model"
QUERIES_AXIS = "sequence"


def sharded_attention(attend, distribution, query, key, value, key_mask):
    """Attention in which each device computes its own part of the output.

    Examples are divided along the distribution's batch axis, heads along a
    mesh axis named `"model"`, and queries along one named `"sequence"`. What
    does not divide evenly, or has no such axis, is computed whole. Each device
    sees all keys of its examples and heads.

    Args:
        attend: function of `(query, key, value, key_mask)`, an attention for
            one device.
        distribution: a `keras.distribution.Distribution`.
        query: array of shape `(batch, queries, heads, head_dim)`.
        key: array of shape `(batch, keys, heads, head_dim)`.
        value: array of shape `(batch, keys, heads, head_dim)`.
        key_mask: bool array of shape `(batch, keys)`, or `None`.

    Returns:
        An array of the shape of `query`.
    """
    mesh = distribution.device_mesh.backend_mesh
    unused = dict(mesh.shape)

    def axis(name, size):
        # An axis serves once: a mesh may call that of the batch "model".
        if name not in unused or size % unused[name]:
            return None
        del unused[name]
        return name

    batch = axis(distribution.batch_dim_name, query.shape[0])
    heads = axis(HEADS_AXIS, query.shape[2])
    queries = axis(QUERIES_AXIS, query.shape[1])
    keys_spec = PartitionSpec(batch, None, heads)
    return jax.shard_map(
        attend,
        mesh=mesh,
        in_specs=(
            PartitionSpec(batch, queries, heads),
            keys_spec,
            keys_spec,
            PartitionSpec(batch),
        ),
        out_specs=PartitionSpec(batch, queries, heads),
        # The kernels do not say along which axes their results differ.
        check_vma=False,
    )(query, key, value, key_mask)
