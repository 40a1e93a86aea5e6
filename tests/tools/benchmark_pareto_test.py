import benchmark_pareto
import pytest

pytestmark = pytest.mark.backend_free


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    asked = []

    def measure(plan_flags):
        asked.append(plan_flags)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return {
            "fits": len(asked) != 2,
            "peak_bytes": len(asked) * 2**30,
            "memory_bytes": 16 * 2**30,
            "flops": len(asked) * 10**12,
            "batch_size": 8,
        }

    monkeypatch.setattr(benchmark_pareto, "measure", measure)
    chosen = [("base", v) for v in benchmark_pareto.variants()]
    keys = {variant.plan_flags("base") for _, variant in chosen}
    # Figures 2 to 4 share the encoder without masking, 2 and 3 masked ones.
    assert len(chosen) == 12 + 8 + 10 and len(keys) == len(chosen) - 5
    path = tmp_path / "results.json"
    with pytest.raises(KeyboardInterrupt):
        benchmark_pareto.measure_all(chosen, path)
    results = benchmark_pareto.measure_all(chosen, path)
    assert set(results) == {" ".join(key) for key in keys}
    assert len(asked) == len(keys) + 1 and asked[3] == asked[4]
    assert benchmark_pareto.measure_all(chosen, path) == results
    assert len(asked) == len(keys) + 1

    picture = tmp_path / "pareto.png"
    benchmark_pareto.draw(chosen, results, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 200_000
