"""Accelerators: the compiler's view of them, and what they can do at best."""

import dataclasses
import os

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One accelerator: memory in bytes, and peak rates a second."""

    memory_bytes: int
    # bfloat16 operations, and bytes of its own memory; None where unknown.
    flops: float | None = None
    bandwidth: float | None = None


# By JAX's `device_kind`. Memory of TPUs is what their compiler lets a program
# use; rates are those of the vendors' data sheets.
_TPUS = {
    "TPU v5 lite": Chip(int(15.75 * GIB), 197e12, 819e9),
    "TPU v5": Chip(int(95.74 * GIB), 459e12, 2765e9),
    "TPU v6 lite": Chip(int(31.25 * GIB), 918e12, 1640e9),
}
_GPU_RATES = {
    "A100": (312e12, 2039e9),
    "H100": (989e12, 3350e9),
    "H200": (989e12, 4800e9),
}


def topology_devices(name):
    """Devices of a TPU slice that need not be there, to compile for.

    Needs `libtpu`, as `pip install "jax[tpu]"` brings it, and must run before
    JAX is used for anything else.

    Args:
        name: string. A chip, such as `"v5e"`, or a slice of them, such as
            `"v5e:2x2"`; chips are v5e, v5p and v6e.

    Returns:
        A list of JAX devices.
    """
    # To the compiler's library this machine is one host of a slice.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    import jax
    from jax.experimental import topologies

    # Weights are made on the CPU; a TPU that is here is left alone.
    jax.config.update("jax_platforms", "cpu")
    chip, _, shape = name.partition(":")
    is_flat = chip in ("v5e", "v6e")
    # The smallest slice that there is holds four chips.
    shape = shape or ("2x2" if is_flat else "2x2x1")
    try:
        topology = topologies.get_topology_desc(
            platform="tpu", topology_name=f"{chip}:{shape}"
        )
    except Exception as e:
        raise ValueError(
            "`topology` must be 'local', a chip such as 'v5e', or a slice "
            "such as 'v5e:2x2', and libtpu must be installed "
            '(pip install "jax[tpu]"). '
            f"Received: topology={name!r}. The compiler said: {e}"
        ) from e
    devices = list(topology.devices)
    return devices if ":" in name else devices[:1]


def chip_of(device):
    """What a JAX device is.

    Args:
        device: JAX device, real or of a topology.

    Returns:
        A `Chip`.
    """
    if device.device_kind in _TPUS:
        return _TPUS[device.device_kind]
    if device.platform == "cpu":
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return Chip(pages)
    memory = device.memory_stats()["bytes_limit"]
    for name, rates in _GPU_RATES.items():
        if name in device.device_kind:
            return Chip(memory, *rates)
    return Chip(memory)
