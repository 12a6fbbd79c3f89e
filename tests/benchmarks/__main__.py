"""`make bench`: every benchmark, one after the other, each figure beside its peer or oracle from the same run."""

from tests.benchmarks import bench_index, bench_page, bench_search, bench_serve, bench_training

for benchmark in (bench_index, bench_search, bench_serve, bench_page, bench_training):
    print(f"\n{benchmark.__doc__.splitlines()[0]}\n")
    benchmark.main()
