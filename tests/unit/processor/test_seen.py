"""The replica of seen ids against a plain set, and what an id costs."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest

from headwater_processor.core.seen import HOT_MAX, Seen, SeenBucket, hash_id, hash_ids

SECRET = (0x0123456789ABCDEF, 0xFEDCBA9876543210)


def packed(values: list[int]) -> bytes:
    return np.array(values, "<u8").tobytes()


def test_an_empty_bucket_holds_nothing() -> None:
    bucket = SeenBucket()
    assert len(bucket) == 0
    assert not bucket.contains(0)
    assert bucket.settled(np.array([0, 1], np.uint64)).tolist() == [False, False]


@pytest.mark.parametrize("seed", range(4))
def test_a_bucket_equals_a_plain_set_however_it_was_filled(seed: int) -> None:
    rng = random.Random(seed)
    bucket, plain = SeenBucket(), set[int]()
    for _ in range(60):
        fresh = [rng.randrange(1 << 64) for _ in range(rng.choice([1, 3, 500, 5000]))]
        if rng.random() < 0.4:
            bucket.load(packed(fresh))
        else:
            bucket.hot.update(fresh)
            bucket.settle_if_large()
        plain.update(fresh)
    known, unknown = rng.sample(sorted(plain), 2000), [rng.randrange(1 << 64) for _ in range(2000)]
    assert len(bucket) == len(plain)
    assert all(bucket.contains(value) for value in known)
    assert not any(bucket.contains(value) for value in unknown if value not in plain)
    asked = np.sort(np.array(known + unknown, np.uint64))
    expected = [value in plain and value not in bucket.hot for value in asked.tolist()]
    assert bucket.settled(asked).tolist() == expected


def test_the_smallest_and_the_largest_hash_are_found() -> None:
    bucket = SeenBucket()
    ends = [0, 1, (1 << 64) - 2, (1 << 64) - 1]
    bucket.load(packed(ends))
    assert all(bucket.contains(value) for value in ends)
    assert bucket.settled(np.array(ends, np.uint64)).all()
    assert not bucket.contains(2)


def test_a_piece_of_the_log_that_repeats_an_id_counts_it_once() -> None:
    bucket = SeenBucket()
    bucket.load(packed([5, 5, 7]))
    bucket.load(b"")
    assert len(bucket) == 2


def test_few_ids_stay_in_the_set_and_many_move_to_sorted_runs() -> None:
    bucket = SeenBucket()
    bucket.hot.update(range(HOT_MAX - 1))
    bucket.settle_if_large()
    assert len(bucket.hot) == HOT_MAX - 1
    bucket.hot.add(HOT_MAX)
    bucket.settle_if_large()
    assert not bucket.hot
    assert len(bucket) == HOT_MAX


def test_sorted_runs_stay_few() -> None:
    rng = random.Random(1)
    bucket = SeenBucket()
    for _ in range(200):
        bucket.load(packed([rng.randrange(1 << 64) for _ in range(500)]))
    assert len(bucket.runs) <= 4
    assert all(bool((run[1:] > run[:-1]).all()) for run in bucket.runs)


def test_a_settled_id_costs_at_most_ten_bytes() -> None:
    rng = np.random.default_rng(3)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        bucket = SeenBucket()
        for _ in range(50):
            bucket.hot.update(rng.integers(0, 1 << 63, HOT_MAX, np.uint64).tolist())
            bucket.settle_if_large()
        cost = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(bucket) > 40 * HOT_MAX
    assert cost / len(bucket) <= 10


def test_buckets_below_the_floor_go_whole_and_the_total_follows() -> None:
    seen = Seen()
    for number in (3, 4, 5):
        seen.bucket(number).hot.update({number, number + 100})
        seen.total += 2
    seen.future_bucket(4).hot.add(9)
    seen.total += 1
    assert sorted(seen.drop_below(5)) == [3, 4]
    assert list(seen.buckets) == [5]
    assert seen.total == 3
    assert seen.drop_future_below(4) == []
    assert seen.drop_future_below(5) == [4]
    assert seen.total == 2


def test_a_bucket_that_is_asked_for_again_is_the_same_one() -> None:
    seen = Seen()
    assert seen.bucket(1) is seen.bucket(1)
    assert seen.future_bucket(1) is seen.future_bucket(1)
    assert seen.bucket(1) is not seen.future_bucket(1)


def test_future_ids_are_looked_up_in_every_live_future_bucket() -> None:
    seen = Seen()
    seen.future_bucket(7).hot.add(70)
    seen.future_bucket(8).hot.add(80)
    assert seen.in_future(70, -1)
    assert seen.in_future(80, 8)
    assert not seen.in_future(70, 8)  # its bucket is below the floor
    assert not seen.in_future(90, -1)


def test_settling_moves_ids_of_the_named_buckets_also_of_the_future() -> None:
    seen = Seen()
    for bucket in (seen.bucket(1), seen.bucket(2), seen.future_bucket(1)):
        bucket.hot.update(range(HOT_MAX))
    seen.settle(["1", "F1", "7", "F7"])  # the sevens are gone
    assert (len(seen.bucket(1).hot), len(seen.bucket(2).hot), len(seen.future_bucket(1).hot)) == (0, HOT_MAX, 0)
    assert seen.in_future(HOT_MAX - 1, -1)
    assert sorted(seen.buckets) == [1, 2]


# --- hashes -------------------------------------------------------------------------------------------------------


def test_a_million_random_ids_have_a_million_hashes() -> None:
    ids = np.random.default_rng(5).bytes(16 * 1_000_000)
    assert len(np.unique(hash_ids(ids, SECRET))) == 1_000_000


def test_ids_that_differ_in_one_bit_have_different_hashes() -> None:
    base = random.Random(6).randbytes(16)
    near = [base] + [(int.from_bytes(base, "big") ^ (1 << bit)).to_bytes(16, "big") for bit in range(128)]
    assert len(set(hash_ids(b"".join(near), SECRET).tolist())) == 129


def test_ids_that_count_upwards_have_different_hashes() -> None:
    ids = b"".join(n.to_bytes(8, "little") + (n % 7).to_bytes(8, "little") for n in range(200_000))
    assert len(np.unique(hash_ids(ids, SECRET))) == 200_000


def test_the_hash_depends_on_both_halves_of_the_secret() -> None:
    ids = random.Random(7).randbytes(16 * 1000)
    first = hash_ids(ids, SECRET)
    for other in ((SECRET[0] ^ 1, SECRET[1]), (SECRET[0], SECRET[1] ^ 1)):
        assert not np.isin(hash_ids(ids, other), first).any()


def test_whoever_does_not_know_the_secret_cannot_choose_pairs_that_collide() -> None:
    rng = random.Random(8)
    pairs = []
    for _ in range(5000):
        a, b = rng.randrange(1 << 64), rng.randrange(1 << 64)
        pairs.append((a, b))
        # The top bit survives an odd factor, and a shift by 32 copies it to bit 31: differences that could cancel out.
        pairs.append((a ^ (1 << 63), b ^ (1 << 63) ^ (1 << 31)))
    ids = b"".join(a.to_bytes(8, "little") + b.to_bytes(8, "little") for a, b in pairs)
    assert len(np.unique(hash_ids(ids, SECRET))) == len(pairs)


def test_no_ids_have_no_hashes() -> None:
    assert len(hash_ids(b"", SECRET)) == 0


@pytest.mark.parametrize("hot", [0, 300])
def test_ids_admitted_as_an_array_are_those_admitted_one_by_one(hot: int) -> None:
    rng = random.Random(hot)
    many, alone = SeenBucket(), set[int]()
    many.hot = {rng.randrange(2_000) for _ in range(hot)}
    alone |= many.hot
    for _ in range(20):
        batch = [rng.randrange(2_000) for _ in range(600)]  # many come twice, within a batch and before
        verdicts, added = many.admit_many(np.array(batch, np.uint64))
        wanted = []
        for value in batch:
            wanted.append(int(value not in alone))
            alone.add(value)
        assert verdicts == wanted
        assert added.tolist() == sorted(value for value, new in zip(batch, wanted, strict=True) if new)
    assert len(many) == len(alone)


def test_one_id_hashes_as_it_does_among_many() -> None:
    rng = random.Random(7)
    idents = [bytes(16), b"\xff" * 16, *(rng.randbytes(16) for _ in range(200))]
    assert [hash_id(ident, SECRET) for ident in idents] == hash_ids(b"".join(idents), SECRET).tolist()
