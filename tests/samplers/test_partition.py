from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from samplers.shares import Partition


@st.composite
def cuts(draw):
    """Shares of up to four splits in hundredths, and the samples of an identity."""
    places = sorted(draw(st.sets(st.integers(1, 99), max_size=3)))
    shares = [end - start for start, end in zip([0, *places], [*places, 100], strict=True)]
    named = {f"split{n}": Fraction(share, 100) for n, share in enumerate(shares)}
    return named, draw(st.integers(1, 7))


@given(cuts(), st.integers(0, 10**9))
def test_index_and_position_are_a_bijection(cut, index):
    partition = Partition.build(*cut)
    split, position = partition.locate(index)
    assert partition.index(split, position) == index


@given(cuts(), st.integers(0, 1500))
def test_positions_are_a_gapless_numbering_in_index_order(cut, samples):
    partition = Partition.build(*cut)
    places = [partition.locate(index) for index in range(samples)]
    for split in partition.members:
        positions = [position for name, position in places if name == split]
        assert positions == list(range(partition.size(split, samples)))


@given(cuts())
def test_a_period_holds_each_share_exactly(cut):
    partition = Partition.build(*cut)
    counts = Counter(partition.pattern)
    for split, share in cut[0].items():
        assert counts[split] == share * len(partition.pattern)


@given(cuts())
def test_an_identity_is_in_one_split(cut):
    partition = Partition.build(*cut)
    for identity in range(50):
        first = identity * partition.group
        splits = {partition.locate(first + n)[0] for n in range(partition.group)}
        assert len(splits) == 1


def test_the_default_shares_have_a_period_of_ten_and_are_spread():
    shares = {"train": Fraction(8, 10), "validation": Fraction(1, 10), "test": Fraction(1, 10)}
    partition = Partition.build(shares, 1)
    train = "train"
    assert partition.pattern == (
        *(train, train, train, "test", train),
        *(train, "validation", train, train, train),
    )


def test_the_order_of_the_splits_in_the_file_decides_nothing():
    shares = {"a": Fraction(1, 4), "b": Fraction(1, 2), "c": Fraction(1, 4)}
    back = dict(reversed(shares.items()))
    assert Partition.build(shares, 3).pattern == Partition.build(back, 3).pattern


def test_members_of_a_split_never_lag_a_whole_place_behind():
    shares = {"a": Fraction(613, 1000), "b": Fraction(287, 1000), "c": Fraction(100, 1000)}
    pattern = Partition.build(shares, 1).pattern
    counts = Counter()
    for place, split in enumerate(pattern, start=1):
        counts[split] += 1
        assert all(abs(counts[name] - share * place) < 1 for name, share in shares.items())
