import pytest

from synthgen.config import parse_expressions
from synthgen.errors import ConfigError

MARGINALS = {"AU1": {"rate": 0.07}, "AU2": {"rate": 0.06}}


def refusal(**section):
    with pytest.raises(ConfigError) as caught:
        parse_expressions({"prior": "copula", "marginals": MARGINALS, **section})
    return str(caught.value).removeprefix("expressions: ")


def of_au1(**marginal):
    return {"marginals": {"AU1": {"rate": 0.1, **marginal}}}


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"marginals": {}}, "marginals is empty; it must have an entry"),
        (
            {"marginals": {"AU7": {"rate": 0.1}}},
            "AU7 (lid tightener) exists in FACS, but it is none of the 12 that FineFace, LibreFace "
            "and drawn faces know (AU1, AU2, AU4, AU5, AU6, AU9, AU12, AU15, AU17, AU20, AU25, "
            "AU26); runs of models that know others name theirs as expressions.action_units",
        ),
        ({"marginals": {"AU1": {}}}, "key marginals.AU1.rate is missing"),
        (
            {"marginals": {"AU1": {"rate": 1.5}}},
            "marginals.AU1.rate is 1.5; it must be at most 1",
        ),
        (of_au1(levels={"F": 1}), "unknown key marginals.AU1.levels.F; there are A, B, C, D, E"),
        (
            of_au1(levels={"A": 0, "B": 0}),
            "marginals.AU1.levels: all weights are 0; one must be above 0",
        ),
        (of_au1(levels={"A": -1}), "marginals.AU1.levels.A is -1; it must be at least 0"),
        (of_au1(beta={"a": 0, "b": 1}), "marginals.AU1.beta.a is 0; it must be above 0"),
        (
            of_au1(beta={"a": 1, "b": 1, "low": 2, "high": 2}),
            "marginals.AU1.beta: low is 2 and high is 2; low must be smaller",
        ),
        (
            of_au1(quantiles=[1, 3, 2]),
            "marginals.AU1.quantiles: 2 stands after 3; quantiles must not fall",
        ),
        (of_au1(quantiles=[]), "marginals.AU1.quantiles is empty; it must have an entry"),
        (
            of_au1(quantiles=[1]),
            "marginals.AU1.quantiles: 1 number is given; quantiles are at least 2",
        ),
        (
            of_au1(quantiles=[1, 7]),
            "intensity of AU1 7 is outside [0, 5]; set allow_out_of_range: true to allow it",
        ),
        (
            of_au1(intensity={"low": 0, "high": 0}),
            "intensity of AU1 is 0 in a part of the samples where it is active; an active AU must "
            "show, so lower the rate instead",
        ),
        (
            of_au1(quantiles=[0, 0, 2, 5]),
            "intensity of AU1 is 0 in a part of the samples where it is active; an active AU must "
            "show, so lower the rate instead",
        ),
        (
            of_au1(quantiles=[1, 3], beta={"a": 1, "b": 1}),
            "marginals.AU1: beta and quantiles are both given; one of levels, beta, quantiles, "
            "intensity is allowed",
        ),
        (
            {"correlation": {"AU1+AU2": 0.1}, "joint": {"AU1+AU2": 0.01}},
            "correlation and joint are both given; only one of correlation, matrix, conditional, "
            "joint is allowed",
        ),
        (
            {"correlation": {"AU1-AU2": 0.1}},
            "correlation: 'AU1-AU2' is no pair of AUs; write it as AU6+AU12",
        ),
        (
            {"conditional": {"AU1+AU2": 0.1}},
            "conditional: 'AU1+AU2' is no pair of AUs; write it as AU6|AU12",
        ),
        (
            {"joint": {"AU1+AU1": 0.1}},
            "joint: 'AU1+AU1' is no pair of AUs; write it as AU6+AU12",
        ),
        ({"correlation": {"AU1+AU2": 2}}, "correlation.AU1+AU2 is 2; it must be at most 1"),
        (
            {"conditional": {"AU1|AU2": 0.1, "AU2|AU1": 0.1}},
            "conditional: AU2 and AU1 stand there twice; one number fixes how they go together",
        ),
        (
            {"joint": {"AU1+AU6": 0.1}},
            "joint: AU6 has no entry in marginals; give it a rate there",
        ),
        (
            {"matrix": {"aus": ["AU1", "AU2"], "values": [[1, 0.2], [0.3, 1]]}},
            "matrix: AU1, AU2 is 0.2, across the diagonal it is 0.3; the table must be symmetric",
        ),
        (
            {"matrix": {"aus": ["AU1", "AU2"], "values": [[1, 0.2], [0.2, 0.9]]}},
            "matrix: AU2, AU2 is 0.9; an AU's entry with itself must be 1",
        ),
        (
            {"matrix": {"aus": ["AU1", "AU2"], "values": [[1, -1.2], [-1.2, 1]]}},
            "matrix: AU1, AU2 is -1.2; a correlation must be in [-1, 1]",
        ),
        (
            {"matrix": {"aus": ["AU1", "AU1"], "values": [[1, 0.2], [0.2, 1]]}},
            "matrix: an AU stands twice in aus; each must stand there once",
        ),
        (
            {"matrix": {"aus": ["AU1", "AU2"], "values": [[1, 0.2], [1]]}},
            "matrix: values must have 2 rows of 2 numbers, as aus has 2",
        ),
        ({"max_repair": -0.1}, "max_repair is -0.1; it must be at least 0"),
        (
            {"intensity_correlation": "some"},
            "intensity_correlation is 'some'; it must be 'latent' or 'none'",
        ),
    ],
)
def test_what_is_not_allowed_is_said_in_one_sentence(section, sentence):
    assert refusal(**section) == sentence


def test_intensities_beyond_the_scale_can_be_allowed():
    section = of_au1(quantiles=[-1.0, 7.0])
    found = parse_expressions({"prior": "copula", "allow_out_of_range": True, **section})
    assert found.marginals["AU1"].ends() == (-1.0, 7.0)


def test_a_table_as_numpy_rounds_it_is_taken():
    values = [[1.0000000000000002, 0.2], [0.20000000000000004, 0.9999999999999998]]
    section = {"matrix": {"aus": ["AU1", "AU2"], "values": values}}
    found = parse_expressions({"prior": "copula", "marginals": MARGINALS, **section})
    assert found.pairs() == {("AU1", "AU2"): 0.2}


def test_a_section_that_was_written_out_is_read_back():
    section = {"prior": "copula", "marginals": MARGINALS, "conditional": {"AU1 | AU2": 0.5}}
    found = parse_expressions(section)
    assert found.pairs() == {("AU1", "AU2"): 0.5}
    assert parse_expressions(found.model_dump(mode="json")) == found
