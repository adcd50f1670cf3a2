"""The report as a page: its content always, its behaviour where a browser is found."""

import base64
import io
import json
import re
import sys
from dataclasses import replace

import chromium
import numpy as np
import pytest
from commands import run
from PIL import Image
from tiny_dataset import HAPPY, PLAN, SCHEMA, make_dataset, make_reject, make_result, make_row
from tiny_markers import CONFIG

from synthgen.config import dump_config, parse_config
from synthgen.dataset import commit_shard, layout, read_markers, read_statistics
from synthgen.dataset.merging import Merging, merge
from synthgen.dataset.run_record import read_record
from synthgen.dataset.schema import RejectImage
from synthgen.report.page import charts, counting, gallery, write_page

EVIL = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>"


def dataset(folder):
    """Write a dataset with rejects, one of them with its picture, and a prompt that is code."""
    storage = make_dataset(str(folder))
    record = read_record(storage)
    config = parse_config(CONFIG)
    known = {**record.configuration, **config.identity(), "name": "tiny"}
    record = replace(record, identity={**record.identity, "configuration": known})
    storage.write(layout.RUN, record.to_json())
    storage.write(layout.CONFIG, dump_config(config).encode())
    rejects = [
        make_reject(0, aus_measured=HAPPY, reason="inactive"),
        make_reject(1, reason="inactive"),
    ]
    rows = [make_row(n, attempt=int(n < 2), prompt=EVIL) for n in range(4)]
    rows[3] = make_row(3, aus=(0.0,) * 12, emotion="neutral", aus_measured=(0.0,) * 12)
    image = RejectImage(reject=rejects[0], image=rows[0].image, distance=1.0)
    result = make_result(PLAN[0], rows=rows, rejects=rejects, reject_images=[image])
    commit_shard(storage, SCHEMA, result)
    return storage


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    storage = dataset(folder / "data")
    to = folder / "report.html"
    return storage, to, write_page(storage.url, to)


def block(page, name):
    return json.loads(re.search(rf'<script id="{name}"[^>]*>(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_holds_every_picture_and_figure_and_loads_nothing(made):
    _, to, written = made
    page = to.read_text()
    assert (written.shown, written.rows, written.rejects) == (8, 8, 1)
    assert written.bytes == len(page.encode())
    data = block(page, "data")
    assert len(data["cards"]) == 9
    for card in data["cards"]:
        head, _, text = card["image"].partition(",")
        assert head == "data:image/webp;base64"
        assert Image.open(io.BytesIO(base64.b64decode(text))).size == (8, 8)
    assert sum(card["kept"] is False for card in data["cards"]) == 1
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", markup)
    assert "default-src 'none'; img-src data:" in page
    specs = block(page, "specs")
    sections = {name.partition("-")[0] for name in specs}
    assert sections == {"distributions", "together", "response", "acceptance"}
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert {"asked", "drawn", "delivered", "measured", "AU12"} <= set(titles)


def test_what_a_dataset_says_is_text(made):
    page = made[1].read_text()
    assert EVIL not in page
    assert block(page, "data")["cards"][0]["prompt"] == EVIL


def test_acceptance_is_counted_over_all_attempts(made):
    storage = made[0]
    record = read_record(storage)
    found = counting.read_attempts(storage, record, read_markers(storage).values())
    by_au = counting.by_au(found)
    assert {name: (p.hits, p.total) for name, p in by_au.items()} == {
        "AU12": (7, 11),
        "AU25": (7, 11),
    }
    assert {n: (p.hits, p.total) for n, p in counting.by_number(found).items()} == {
        "1": (6, 10),
        "2": (2, 2),
    }
    combinations, sets = counting.by_combination(found)
    assert (list(combinations), sets) == (["AU12+AU25", "none"], 2)
    drawn = counting.together(found)["drawn"]
    assert drawn[6, 10] == pytest.approx(0.9)


def test_a_gallery_is_the_worst_and_an_even_share(made):
    number = 2000
    flags = np.ones(number, bool)
    requested, measured = np.zeros((number, 12)), np.zeros((number, 12))
    measured[::100] = 3.0
    zero = np.zeros(number, np.int64)
    found = counting.Attempts(
        SCHEMA.aus, requested, measured, flags, flags, zero, flags, zero, zero, np.arange(number)
    )
    chosen = gallery.choose(found, 100)
    assert len(chosen) == 100
    assert set(range(0, number, 100)) <= set(chosen.tolist())
    assert gallery.choose(found, 2000).tolist() == list(range(number))


def test_a_merged_dataset_has_a_page_without_what_was_asked(tmp_path):
    one = make_dataset(str(tmp_path / "one"))
    merge(Merging(sources=[one.url], to=str(tmp_path / "both")))
    to = tmp_path / "r.html"
    assert write_page(str(tmp_path / "both"), to).shown == 8
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", to.read_text())
    assert "asked" not in titles
    assert "delivered" in titles


def test_the_command_says_what_it_wrote_and_refuses_in_one_sentence(made, tmp_path):
    storage, to, written = made
    again = tmp_path / "again.html"
    assert run("report", storage.url, "--html", again) == (0, f"{again}: {written.text()}\n", "")
    assert again.read_bytes() == to.read_bytes()
    nowhere = tmp_path / "none"
    assert run("report", nowhere, "--html", tmp_path / "x.html")[::2] == (
        2,
        f"error: there is no synthgen dataset in {nowhere}: no .synthgen/run.json\n",
    )
    code, _, error = run("report", storage.url, "--html", again / "x.html")
    assert (code, error) == (2, f"error: cannot write {again}/x.html: Not a directory\n")


def test_figures_from_outside_join_the_page(made, tmp_path):
    storage, _, written = made
    judge = {"judge": "mediapipe <b>", "files": {"face_landmarker.task": "ab"}, "images": 7}
    au12 = {"blendshapes": ["mouthSmileLeft"], "asked": 3, "own": 0.9, "ridge": None}
    figures = {
        "command": "synthgen evaluate outside faces",
        "name": "tiny",
        "checksum": read_statistics(storage).checksum,
        "images": 7,
        "accepted": 8,
        "seed": 0,
        "expressions": {**judge, "faces": 6, "aus": {"AU12": au12}},
        "people": None,
    }
    file, to = tmp_path / "outside.json", tmp_path / "page.html"
    file.write_text(json.dumps(figures))
    code, said, _ = run("report", storage.url, "--html", to, "--outside", file)
    assert (code, said.split(";")[0]) == (0, f"{to}: {written.text().split(';')[0]}")
    page = to.read_text()
    assert '<a href="#outside">From outside</a>' in page
    assert "<p>7 of 8 accepted images, by networks that nobody here trained.</p>" in page
    assert "<h3>Expressions, read by FaceLandmarker (mediapipe &lt;b&gt;)</h3>" in page
    cells = ("AU12", "lip corner puller", "3", "mouthSmileLeft", "0.90", "–")
    assert "".join(f"<td>{cell}</td>" for cell in cells) in page
    assert "Faces found: 85.7 % (6 of 7 images)." in page
    file.write_text(json.dumps({**figures, "checksum": "0123456789abcdef"}))
    code, _, error = run("report", storage.url, "--html", to, "--outside", file)
    assert (code, error) == (
        2,
        f"error: {file} judges data with the checksum '0123456789abcdef'; that of this dataset is "
        f"{figures['checksum']!r}: judge it by `synthgen evaluate outside`\n",
    )
    assert to.read_text() == page


def test_figures_need_their_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(charts.MissingDependencyError, match="altair, jinja2 and vl-convert-python"):
        charts.libraries()


@pytest.mark.browser
@pytest.mark.skipif(chromium.paths() is None, reason="no chromium and chromedriver")
def test_the_page_works_in_a_browser_without_a_complaint(made):
    with chromium.Browser() as browser:
        size = {"deviceScaleFactor": 1, "mobile": True}
        browser.send("Emulation.setDeviceMetricsOverride", width=390, height=840, **size)
        browser.open(made[1].as_uri())
        count = "return document.getElementById('count').textContent"
        assert browser.run(count) == "9 of 9 pictures"
        choose = (
            "const e = document.forms.filters.elements['{}']; e.value = '{}';"
            "e.dispatchEvent(new Event('input', {{bubbles: true}}));" + count
        )
        assert browser.run(choose.format("category", "neutral")) == "1 of 9 pictures"
        assert browser.run(choose.format("category", "")) == "9 of 9 pictures"
        assert browser.run(choose.format("kept", "no")) == "1 of 9 pictures"
        assert browser.run(choose.format("kept", "")) == "9 of 9 pictures"
        assert browser.run(choose.format("au", "AU12")) == "8 of 9 pictures"
        browser.run("document.querySelector('.card').focus()")
        browser.press("\ue014")
        focused = "return [...document.querySelectorAll('.card')].indexOf(document.activeElement)"
        assert browser.run(focused) == 1
        browser.press("\ue007")
        assert browser.run("return document.getElementById('detail').open")
        browser.press("\ue00c")
        assert not browser.run("return document.getElementById('detail').open")
        for section in ("distributions", "together", "response", "acceptance"):
            browser.run(f"document.getElementById('{section}').scrollIntoView()")
            browser.wait(f"return document.querySelector('#{section} .chart svg') !== null")
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        assert browser.run("return document.title") == "tiny: report"
        assert browser.run("return performance.getEntriesByType('resource').length") == 0
        assert browser.complaints() == []
