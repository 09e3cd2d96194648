"""The page of one clip: what it says, that nothing of it comes from outside, and that names can't break out."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from clip_evidence import MANIFEST, clip_evidence, face_jpeg, verdict

from ensemble.manifest import read_manifest
from ensemble.missingness import SENTENCES
from ensemble.store import SHIPPED_MODEL
from ensemble.verdict import NOTHING, verdict_of
from ensemble.wording import NOTE_PEAK
from features.discovery import families
from features.evidence import Series
from features.reasons import Reason
from reports import base_rates, cue_positions, cue_titles, faces, html, norms
from reports.clip_report import ClipFacts, Served, clip_page, write_clip_report
from reports.html import STATIC, probability
from reports.norms import LEVELS, Norm

HOSTILE = "\"><img src=x onerror=alert(1)></title></script><script>alert(1)</script>{{7*7}} '&.mp4"


class Page(HTMLParser):
    """Text, tags and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.json, self.headings = [], [], "", []
        self.silent, self.data, self.heading = False, False, 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.silent = tag in {"script", "style"}
        self.data = attributes.get("type") == "application/json"
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag):
        self.silent = self.data = False

    def handle_data(self, data):
        if self.data:
            self.json += data
        elif not self.silent:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(tmp_path, *, one=None, evidence=None, **options):
    facts = options.pop("facts", ClipFacts(versions={"forensic_cnn": 4}))
    return clip_page(one or verdict(), MANIFEST, tmp_path, facts=facts, evidence=evidence, **options)


def test_nothing_comes_from_outside_and_no_style_or_handler_stands_in_a_tag(tmp_path):
    text = page_of(tmp_path, evidence=clip_evidence())
    page = Page(text)
    assert not page.all("link")
    assert not re.search(r"https?:", re.sub(r"data:image[^\"]*", "", text))
    assert "url(" not in text.replace("url(#unsaid)", "")
    for tag, attributes in page.tags:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert attributes.get("src", "data:").startswith("data:"), tag


def test_style_and_script_can_be_written_into_a_page():
    assert "</style" not in (STATIC / "clip.css").read_text(encoding="utf-8").lower()
    script = (STATIC / "clip.js").read_text(encoding="utf-8")
    assert "</script" not in script.lower()
    assert len(script.splitlines()) <= 200


def test_a_server_links_what_the_offline_page_holds(tmp_path):
    served = Served("/assets/", ("/more.css",), ("/player.js",), "<video id=v></video>", "<nav id=n></nav>")
    page = Page(page_of(tmp_path, evidence=clip_evidence(), served=served))
    assert [one["href"] for one in page.all("link")] == ["/assets/clip.css", "/more.css"]
    assert [one.get("src") for one in page.all("script")] == [None, "/assets/clip.js", "/player.js"]
    assert page.all("script")[0]["type"] == "application/json"
    assert not page.all("style")
    assert page.all("video") == [{"id": "v"}]
    assert page.all("nav")[0] == {"id": "n"}


def test_a_server_shows_a_player_also_without_a_timeline(tmp_path):
    served = Served("/assets/", player="<video id=v></video>")
    assert Page(page_of(tmp_path, served=served)).all("video") == [{"id": "v"}]


def test_names_and_messages_from_outside_are_text(tmp_path):
    one = verdict(filename=HOSTILE, error=HOSTILE, status="partial", unmeasured={"forensic_voice": HOSTILE})
    facts = ClipFacts(command=HOSTILE, made=HOSTILE, unmeasured={"voice": HOSTILE})
    evidence = replace(clip_evidence(), filename=HOSTILE)
    series = dict(evidence.people[0].series)
    series["blink.openness"] = replace_title(series["blink.openness"], HOSTILE)
    evidence = replace(evidence, people=(replace(evidence.people[0], series=series),))
    text = page_of(tmp_path, one=one, evidence=evidence, facts=facts)
    page = Page(text)
    assert len(page.all("script")) == 2
    assert not [attributes for _, attributes in page.tags if "onerror" in attributes]
    assert page.text.count("{{7*7}}") >= 6
    assert json.loads(page.json)["duration_s"] == 10.0


def test_frames_lie_over_their_time_where_audio_outlasts_the_video(tmp_path):
    evidence = clip_evidence(10.0)
    last = Series([14.0], [1.0], unit="dB", title="Loudness")
    page = page_of(tmp_path, evidence=replace(evidence, audio={"voice.loudness": last}))
    strip = page[page.index('class="filmstrip"') :].split("</ol>")[0]
    assert (strip.count("<img"), strip.count('<li aria-hidden="true"></li>')) == (12, 5), "12 frames in 10 of 14 s"


def replace_title(series, title):
    return type(series)(series.times_s, series.values, unit=series.unit, title=title, events=series.events)


def test_the_json_cannot_end_its_script(tmp_path):
    evidence = clip_evidence()
    series = {"x.</script><b>": evidence.audio["voice.loudness"]}
    text = page_of(tmp_path, evidence=replace(evidence, audio=series))
    assert "x.</script><b>" not in text
    assert "sound.x.</script><b>" in json.loads(Page(text).json)["lanes"]


def test_without_faces_there_is_no_image_at_all(tmp_path):
    evidence = clip_evidence(n_people=2)
    mapped = {
        "face_map_jpeg": face_jpeg(90, 90, 3),
        "face_regions": {"eyes": -0.25, "mouth": 1.5},
        "face_map_times_s": (2.8, 2.3),
    }
    evidence = replace(evidence, people=tuple(replace(one, **mapped) for one in evidence.people))
    with_images = Page(page_of(tmp_path, evidence=evidence))
    assert len(with_images.all("img")) > 40
    assert sum("each region" in one["alt"] for one in with_images.all("img")) == 2
    assert "Slanting lines" in with_images.text
    text = page_of(tmp_path, evidence=evidence, faces=False)
    assert not Page(text).all("img")
    assert "data:image" not in text
    assert base64.b64encode(evidence.filmstrip[0][1][:30]).decode() not in text
    assert "Images were left out" in Page(text).text
    assert (
        "(the mean of 2 faces, at 2.3 and 2.8 s): mouth +1.5, eyes \N{MINUS SIGN}0.2" in Page(text).text
    )  # the numbers tell nobody's face
    assert "Slanting lines" not in Page(text).text


def test_every_image_has_a_text_and_headings_do_not_skip_a_level(tmp_path):
    page = Page(page_of(tmp_path, evidence=clip_evidence(n_people=2)))
    assert all(len(one["alt"]) > 8 for one in page.all("img"))
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    plots = [one for one in page.all("svg") if one.get("class") == "plot"]
    assert len(plots) == 12
    assert all(one["role"] == "img" and len(one["aria-label"]) > 20 for one in plots)


def test_links_within_the_page_have_targets_and_labels_exist(tmp_path):
    page = Page(page_of(tmp_path, evidence=clip_evidence()))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {one["href"].removeprefix("#") for one in page.all("a")} <= set(ids)
    assert {one["aria-labelledby"] for _, one in page.tags if "aria-labelledby" in one} <= set(ids)


def test_faces_that_were_not_followed_are_counted(tmp_path):
    text = Page(page_of(tmp_path, evidence=clip_evidence(n_people=2, detected=3))).text
    assert "3 faces were detected, 2 were tracked. A fake elsewhere would be missed." in text
    many = Page(page_of(tmp_path, evidence=clip_evidence(n_people=1, detected=9))).text
    assert "9 faces were detected (a person counts again after a cut), one was tracked." in many
    assert "were tracked" not in Page(page_of(tmp_path, evidence=clip_evidence(n_people=2))).text


def test_faces_in_turn_are_not_called_several_people(tmp_path):
    """Non-regression test: one person in two shots was "several people"."""
    together = clip_evidence(n_people=2)
    main, other = together.people
    early, late = main.boxes_times_s < 4, other.boxes_times_s > 6
    apart = replace(
        together,
        people=(
            replace(main, boxes_times_s=main.boxes_times_s[early], boxes=main.boxes[early]),
            replace(other, boxes_times_s=other.boxes_times_s[late], boxes=other.boxes[late]),
        ),
    )
    assert (
        "Several people are in the clip; Person 1 is the main face." in Page(page_of(tmp_path, evidence=together)).text
    )
    text = Page(page_of(tmp_path, evidence=apart)).text
    assert "Several people are in the clip; Person 1 is the main face." not in text
    assert "they may be several people, or one person in several shots" in text


def test_times_that_are_not_the_players_are_explained(tmp_path):
    said = "Times count from the first frame of the video, which comes 1.0 s into the file"
    assert said in Page(page_of(tmp_path, evidence=replace(clip_evidence(), lead_s=1.0))).text
    assert "Times count" not in Page(page_of(tmp_path, evidence=replace(clip_evidence(), lead_s=0.05))).text


def test_time_without_a_followed_face_is_said(tmp_path):
    evidence = clip_evidence(10.0)
    person = evidence.people[0]
    t = person.boxes_times_s
    seen = (t < 2.0) | (t > 8.5)
    cut = replace(person, boxes_times_s=t[seen], boxes=person.boxes[seen])
    assert faces.covered_s(replace(evidence, people=(cut,))) == pytest.approx(3.4, abs=0.1)
    text = Page(page_of(tmp_path, evidence=replace(evidence, people=(cut,)))).text
    assert "The tracked faces are seen in 3 of 10 s. A fake elsewhere would be missed." in text


def test_times_after_a_minute_are_in_minutes(tmp_path):
    evidence = replace(clip_evidence(130.0, swap=(100.0, 104.0)), people=clip_evidence(100.0).people)
    text = Page(page_of(tmp_path, one=replace(verdict(), duration_s=130.0), evidence=evidence)).text
    assert "2:10 min" in text
    assert "Tracked from 0:00.0 to 1:40.0;" in text
    assert "The tracked faces are seen in 1:40 of 2:10 min." in text


def test_a_passage_that_stands_out_is_named_beside_the_number(tmp_path):
    """Non-regression: of three forged seconds in twenty, only the lanes further down said when."""
    peak = replace(verdict(), has_peak=True, verdict="uncertain")
    text = Page(page_of(tmp_path, one=peak, evidence=clip_evidence(20.0, swap=(8.0, 11.0)))).text
    assert "score one passage much more like a fake than the rest: from 8.2 to 10.8 s (+" in text
    assert NOTE_PEAK not in text  # says the same, and sends to this page
    genuine = clip_evidence(20.0, swap=None)
    assert NOTE_PEAK in Page(page_of(tmp_path, one=peak, evidence=genuine)).text


def test_the_faces_most_like_a_fake_are_those_of_the_swap(tmp_path):
    (view,) = faces.people(clip_evidence(swap=(4.0, 6.0)))
    fake = [one for one in view.strongest if 4.0 < one.time_s < 6.0]
    assert len(fake) == 4  # of two a second, all before any other
    assert list(view.strongest[:4]) == fake
    assert [one.time_s for one in view.others] == sorted(one.time_s for one in view.others)
    assert len(view.strongest) + len(view.others) == view.n_judged == 20


def test_faces_without_scores_are_shown_without_a_ranking(tmp_path):
    evidence = clip_evidence()
    person = evidence.people[0]
    bare = tuple(replace(face, logits={}) for face in person.faces)
    text = Page(page_of(tmp_path, evidence=replace(evidence, people=(replace(person, faces=bare),)))).text
    assert "Most like a fake" not in text
    assert "20 scored faces" in text


def test_a_page_of_a_minute_with_four_people_stays_below_3_mb(tmp_path):
    rng = np.random.default_rng(0)
    evidence = clip_evidence(60, n_people=4)
    noise = tuple(rng.integers(0, 256, 12_000, dtype=np.uint8).tobytes() for _ in range(120))
    people = tuple(
        replace(one, faces=tuple(replace(f, jpeg=noise[k]) for k, f in enumerate(one.faces))) for one in evidence.people
    )
    text = page_of(tmp_path, evidence=replace(evidence, people=people))
    assert len(text.encode()) < 3_000_000
    assert text.count("data:image") > 60


def test_a_prior_is_rounded_alike_in_percent_and_in_counts():
    """Non-regression test: one page said 2 % and 15 of 1000, another 1.1 % and 12 of 1000."""
    for prior in (number / 10_000 for number in range(1, 10_000)):
        fake, clips = base_rates.BaseRate(prior, 0.5, "").of_all.split(" of ")
        assert float(html.percent(prior)) == pytest.approx(100 * int(fake) / int(clips)), prior


def test_the_number_is_explained_at_other_base_rates(tmp_path):
    text = Page(page_of(tmp_path, one=verdict(0.8))).text
    assert "P(FAKE) = 0.80" in text
    assert "Of 100 clips with this score, about 80 would be fake, if 50 of 100 clips were fake" in text
    assert "odds of 4 to 1 for FAKE" in text
    assert "to begin with: even odds." in Page(page_of(tmp_path, one=verdict(0.49))).text
    assert "10 of 100about 31" in text.replace("> <", "")
    assert "never says less than 0.08 or more than 0.92 (hatched): it was trained on 234 clips" in text


@pytest.mark.parametrize(("p", "words"), [(0.92, "about 92 or more"), (0.08, "about 8 or fewer"), (0.5, "about 50")])
def test_a_number_at_the_models_bound_says_that_more_may_be_hidden(p, words):
    rates = {rate.prior: rate for rate in base_rates.base_rates(p, MANIFEST)}
    assert rates[0.5].of_these == words


def test_the_page_says_that_a_number_is_the_models_bound(tmp_path):
    """Non-regression: it said "P(FAKE) = 0.92" and "odds of 12 to 1", as of a measurement."""
    text = Page(page_of(tmp_path, one=verdict(0.92, at_bound=True))).text
    assert "P(FAKE) = 0.92 or more" in text
    assert "odds of 12 to 1 or more for FAKE" in text
    assert "P(FAKE) = 0.08 or less" in Page(page_of(tmp_path, one=verdict(0.08, at_bound=True))).text
    assert "0.80 or" not in Page(page_of(tmp_path, one=verdict(0.8))).text
    assert "limit of the model" not in text
    parts = {"forensic_cnn": 8.0, "forensic_voice": -0.5}
    at = verdict(0.92, at_bound=True, base=0.0, contributions=parts, log_odds_limit=-5.06)
    text = re.sub(r" *> <|  +", " ", Page(page_of(tmp_path, one=at)).text)
    assert "limit of the model\N{MINUS SIGN}5.06this model says no more than 0.92" in text
    assert "sum+2.44logit of P(FAKE) = 0.92 or more" in text


@pytest.mark.parametrize("p", [0.33354, 0.3333, 0.33334, 0.66659, 0.66667, 0.6671, 0.334, 0.33])
@pytest.mark.parametrize("digits", [2, 3])
def test_a_rounded_number_never_contradicts_its_verdict(p, digits):
    """Non-regression: "Uncertain, P(FAKE) = 0.33", where likely real is what lies below a third."""
    assert verdict_of(float(probability(p, digits))) == verdict_of(p)
    assert len(probability(p, digits)) <= 7


def test_a_third_is_written_in_five_digits():
    assert (probability(1 / 3), probability(2 / 3, 3)) == ("0.33333", "0.66667")


@pytest.mark.parametrize(
    ("status", "unmeasured", "words"),
    [
        ("ok", {}, "measured without faults"),
        ("ok", {"forensic_voice": "no speech"}, "1 of the 3 families that the model reads had nothing to measure"),
        ("no_audio", {"forensic_voice": "the clip has no audio"}, "without audio"),
    ],
)
def test_a_clip_without_faults_is_not_said_to_be_measured_completely(tmp_path, status, unmeasured, words):
    text = Page(page_of(tmp_path, one=verdict(status=status, unmeasured=unmeasured))).text
    assert words in text
    assert ("had nothing to measure" in text) == (status == "ok" and bool(unmeasured))
    assert "completely" not in text


def test_two_averages_of_one_network_come_with_the_reason(tmp_path):
    """Non-regression: faces and columns gave different averages of the same network, unexplained."""
    cues = {"forensic_cnn.logit_mean": -0.44, "forensic_residual.logit_mean": np.nan}
    text = Page(page_of(tmp_path, evidence=clip_evidence(n_people=2, cues=cues))).text
    assert "come from one plain view of each face. The averages that the model reads as cues differ from them" in text
    assert text.count("As a cue, of up to eight faces in varied views: Face network −0.4 on average.") == 1
    assert "As a cue" not in Page(page_of(tmp_path, evidence=clip_evidence())).text


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("iod", "inter-ocular distances"),
        ("log10", "powers of ten (log10)"),
        ("L* difference", "difference in L* (lightness), above 0 where the first is lighter"),
        ("deg", "degrees"),
        ("dB", "dB"),
    ],
)
def test_a_lane_has_its_unit_in_words(tmp_path, unit, words):
    evidence = clip_evidence()
    lane = Series([0.5, 1.0], [-5.6, 2.0], unit=unit, title="A line")
    person = replace(evidence.people[0], series={"blending.lightness": lane})
    page = page_of(tmp_path, evidence=replace(evidence, people=(person,)))
    assert f'A line</h4><span class="unit">{words}</span>' in page


def test_log_odds_are_explained_where_they_first_stand(tmp_path):
    text = Page(page_of(tmp_path)).text
    assert "Log-odds: 0 is even; +1 makes FAKE 2.7 times as likely against REAL" in text


def test_sure_models_and_rare_fakes_have_digits_enough(tmp_path):
    """Non-regression test: pages said P(FAKE) = 1.00, never less than 0.00, 0 of 100 and odds of 6.7e+02."""
    sure = MANIFEST | {"clip": 0.0016, "target_prior": 0.001}
    text = Page(clip_page(verdict(0.9984), sure, tmp_path, facts=ClipFacts())).text
    assert "P(FAKE) = 0.998" in text
    assert "never says less than 0.002 or more than 0.998" in text
    assert "if 1 of 1000 clips were fake to begin with: odds of 620 to 1 for FAKE" in text
    assert "target prior 0.1 % FAKE" in text
    for p in (1e-9, 0.004, 0.9951, 0.99999, 1 - 1e-12):
        assert 0 < float(probability(p)) < 1
    write_clip_report(tmp_path / "list.html", [verdict(0.99999), verdict(0.5)], sure, tmp_path)
    assert "0.99999" in (tmp_path / "list.html").read_text()


def test_names_are_shown_in_the_order_of_their_letters_on_one_line(tmp_path):
    """Non-regression test: ``gpj.mp4`` turned around by U+202E was shown as another name."""
    name = "a\u202egpj\n\x00.mp4"
    write_clip_report(tmp_path / "list.html", [verdict(filename=name), verdict()], MANIFEST, tmp_path)
    for text in (page_of(tmp_path, one=verdict(filename=name)), (tmp_path / "list.html").read_text(encoding="utf-8")):
        assert "\u202e" not in text
        assert "\x00" not in text
        assert Page(text).text.count(r"a\u202egpj\n\x00.mp4") == 2


def test_priors_follow_bayes_rule():
    rng = np.random.default_rng(0)
    for p, a, b in rng.uniform(0.02, 0.98, (50, 3)):
        likelihood_ratio = p / (1 - p) * (1 - a) / a
        assert base_rates.at_prior(p, a, b) == pytest.approx(likelihood_ratio * b / (likelihood_ratio * b + 1 - b))


def test_the_models_own_prior_is_among_those_shown():
    rates = base_rates.base_rates(0.3, MANIFEST | {"target_prior": 0.83})
    assert [(rate.prior, round(rate.probability, 6)) for rate in rates if rate.prior == 0.83] == [(0.83, 0.3)]


def test_contents_lead_to_every_section_that_the_page_has(tmp_path):
    cues = {"blink.valid_share": 1.0, "blink.rate_per_min": 20.0}
    page = Page(page_of(tmp_path, one=verdict(unmeasured={"forensic_voice": "why"}), evidence=clip_evidence(cues=cues)))
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    targets = [one["href"][1:] for one in page.all("a") if one["href"].startswith("#")]
    assert targets[1:7] == ["why", "timeline", "faces", "norms", "missing", "made"]  # after the skip link
    assert set(targets) <= ids


def test_the_largest_contributions_stand_beside_the_number(tmp_path):
    parts = {"forensic_cnn": 0.61, "forensic_residual": -0.2, "forensic_voice": 0.04}
    text = Page(page_of(tmp_path, one=replace(verdict(), contributions=parts))).text
    assert "For FAKEFace network (+0.61)For REALTexture network (−0.20)" in text
    text = Page(page_of(tmp_path, one=replace(verdict(), contributions={"forensic_voice": 0.04}))).text
    assert "For FAKE" not in text
    assert "No cue family speaks for either side by 0.1 log-odds or more." in text


def test_how_well_the_model_ranks_is_said_of_clips_whose_images_count(tmp_path):
    auc = {"metrics": {"stack": {"auc": {"value": 0.76}}}}
    silent = replace(verdict(), contributions={"forensic_voice": -0.5})
    for one, manifest, is_said in (
        (verdict(), MANIFEST | auc, True),
        (silent, MANIFEST | auc, False),
        (verdict(), MANIFEST, False),
    ):
        text = Page(clip_page(one, manifest, tmp_path, facts=ClipFacts())).text
        assert ("scored the fake above the genuine clip in 76 of 100 pairs" in text) == is_said


def test_a_clip_without_lanes_and_player_has_no_slider(tmp_path):
    """It moved nothing, and its frames were links that led nowhere."""
    evidence = replace(clip_evidence(n_people=0, audio=False), audio={})
    page = Page(page_of(tmp_path, one=replace(verdict(0.5, n_faces=0), verdict=NOTHING), evidence=evidence))
    assert page.all("img")
    assert not page.all("input")
    assert not [one for one in page.all("a") if "data-seconds" in one]
    served = Served("/assets/", player="<video id=v></video>")
    assert Page(page_of(tmp_path, evidence=evidence, served=served)).all("input")


def test_a_file_that_could_not_be_read_has_no_finding(tmp_path):
    why = "no video or audio that FFmpeg can open"
    one = replace(
        verdict(0.5, n_faces=0, status="unreadable", error=why, duration_s=None, n_frames=0),
        verdict=NOTHING,
        unmeasured=dict.fromkeys(MANIFEST["families"], why),
    )
    text = Page(page_of(tmp_path, one=one)).text
    assert f"could not be read: {why}" in text
    assert "there is no finding" in text
    assert "P(FAKE)" not in text
    assert "What could not be measured" not in text  # it is said once


def test_what_could_not_be_measured_is_said_also_of_families_that_the_model_does_not_read(tmp_path):
    cues = {"lip_sync.valid_share": 0.0, "blink.valid_share": 0.0, "identity.valid_share": 1.0, "identity.drift": 0.8}
    cues |= {"cnn_embedding.valid_share": 0.0}  # needs crops, and so a face, like every family that reads the video
    one = verdict(status="no_audio", error="no audio", unmeasured={"forensic_voice": "the clip has no audio"})
    page = Page(page_of(tmp_path, one=one, evidence=clip_evidence(n_people=0, audio=False, cues=cues)))
    assert "Speech modelthe clip has no audio" in page.text
    assert "Lip sync not read by the modelthe clip has no audio" in page.text
    assert "Blinks, Descriptions of the networks not read by the modelno face was found" in page.text
    assert "nothing in the clip" not in page.text
    assert page.text.count("no face was found") == page.text.count("the clip has no audio") - 1 == 1
    assert "Identity over time" not in page.text[page.text.index("Cue families") :]


def test_a_page_says_what_made_it(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    facts = ClipFacts(
        versions={"blink": 1},
        weights={"forensic_cnn": "cafe" * 16},
        sha256="beef" * 16,
        command="deepcue predict a.mp4",
        made="2026-11-28 21:00 UTC",
        version="9.9",
    )
    text = Page(page_of(tmp_path, facts=facts)).text
    assert "SHA-256, clip" in text
    assert "beef" * 16 in text
    assert "cafe" * 16 in text
    assert "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" in text  # of "{}"
    assert "deepcue predict a.mp4" in text
    assert "2026-11-28 21:00 UTC, by deepcue 9.9" in text


def test_equal_inputs_give_equal_bytes(tmp_path):
    for name in ("a.html", "b.html"):
        write_clip_report(tmp_path / name, [verdict()], MANIFEST, tmp_path, evidence=clip_evidence())
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


@pytest.fixture
def several(tmp_path):
    """The page of three clips; in one of them nothing was measured."""
    why = "no video or audio that FFmpeg can open"
    silent = verdict(0.5, filename="c.mp4", n_faces=0, status="unreadable", error=why, duration_s=None, n_frames=0)
    silent = replace(silent, verdict=NOTHING, contributions={}, unmeasured=dict.fromkeys(MANIFEST["families"], why))
    many = [verdict(0.9, filename="a.mp4"), verdict(0.1, filename="b.mp4"), silent]
    write_clip_report(tmp_path / "p.html", many, MANIFEST, tmp_path)
    return Page((tmp_path / "p.html").read_text(encoding="utf-8"))


def test_several_clips_have_a_list(several):
    assert "3 clips Highest P(FAKE) first" in several.text
    assert several.text.index("a.mp4") < several.text.index("b.mp4")
    ids = [attributes["id"] for _, attributes in several.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [one["href"].removeprefix("#") for one in several.all("a")]
    assert targets == ["clip1", "clip2", "clip3", "list", "list", "list"]
    assert set(targets) <= set(ids)
    assert "Face network" in several.text  # not forensic_cnn
    assert "forensic_cnn" not in several.text


def test_a_list_has_no_number_for_a_clip_in_which_nothing_was_measured(several):
    text = several.text.replace("> <", "")
    assert "c.mp4–nothing measuredcould not be read: no video or audio that FFmpeg can open0" in text
    assert "0.500" not in text
    assert len([one for one in several.all("svg") if one.get("class") == "gauge"]) == 2


def test_a_list_says_of_silence_what_it_lacks_and_counts_one_frame(tmp_path):
    audio_clip = verdict(0.5, filename="a.wav", n_faces=0, status="no_face", n_frames=0)
    error = "no video in the file, only its audio was measured"
    audio_clip = replace(audio_clip, verdict=NOTHING, contributions={}, error=error)
    audio_clip = replace(audio_clip, unmeasured={"forensic_voice": SENTENCES[Reason.UNUSABLE]})
    short = verdict(0.5, filename="b.mp4", status="too_short", error="only 1 frame", n_frames=1)
    write_clip_report(tmp_path / "p.html", [audio_clip, short], MANIFEST, tmp_path)
    text = Page((tmp_path / "p.html").read_text(encoding="utf-8")).text
    assert "nothing measuredno video in the file, and no speech was found in its audio" in text.replace("> <", "")
    assert "only its audio was measured" not in text
    assert "1 frame," in text
    assert "too short for cues of motion: only 1 frame" in text
    assert "1 frame, " in Page(page_of(tmp_path, one=short)).text


def test_a_list_is_styled_as_the_page_of_a_clip_and_its_tables_scroll(several):
    assert [one["content"] for one in several.all("meta") if one.get("name") == "color-scheme"] == ["light dark"]
    assert not [tag for tag, attributes in several.tags if "style" in attributes]
    n_scrolled = sum(one.get("class") == "scroll" for one in several.all("div"))
    assert n_scrolled == len(several.all("table"))


SPREAD = Norm(tuple(10 * level for level in LEVELS), 116, 6)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1.0, "lower than all"),
        (0.25, "lower than 97 % of"),
        (4.1, "in the middle of"),
        (9.0, "higher than 90 % of"),
        (10.5, "higher than all"),
        (0.0, "lower than 99 % of"),  # the lowest itself
        (10.0, "higher than 99 % of"),
    ],
)
def test_a_value_is_placed_among_real_clips_in_words(value, words):
    assert cue_positions.among(SPREAD, value) == f"{words} real clips (116 of 6 sources, weighted)"


def test_the_band_of_a_strip_holds_the_values_within_it(tmp_path):
    """Non-regression test: dots and band were drawn on two scales, so that values outside the band lay in it."""
    versions = {one.name: one.version for one in families()}
    spread = norms.read_norms(versions)
    values = {name: norm.quantiles[number % len(LEVELS)] for number, (name, norm) in enumerate(spread.items())}
    page = Page(page_of(tmp_path, facts=ClipFacts(values=values, versions=versions)))
    ((x, width),) = {(one["x"], one["width"]) for one in page.all("rect") if one.get("height") == "6"}
    low, high = float(x[:-1]), float(x[:-1]) + float(width[:-1])
    assert (low, high) == pytest.approx((2 + 96 * 0.025, 2 + 96 * 0.975))
    rings = [float(one["cx"][:-1]) for one in page.all("circle") if one.get("class") == "ring"]
    dots = [float(one["cx"][:-1]) for one in page.all("circle") if one.get("r") == "4"] + rings
    assert rings == [dot for dot in rings if not low <= dot <= high]
    shown = [cue for one in cue_positions.positions(values, spread, set(), versions) for cue in one.shown]
    assert [not low <= dot <= high for dot in sorted(dots)] == [
        cue.outside for cue in sorted(shown, key=lambda cue: cue.position)
    ]
    assert 0 < sum(cue.outside for cue in shown) == len(rings) < len(shown)


def test_few_clips_never_give_a_finer_percentage_than_they_can():
    few = replace(SPREAD, n_clips=20, n_sources=1)
    assert cue_positions.among(few, 9.95) == "higher than 95 % of real clips (20 of 1 source)"


def test_a_value_that_many_share_is_called_the_same():
    tied = Norm((0.0,) * 7 + (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), 50, 3)
    of = "real clips (50 of 3 sources, weighted)"
    assert cue_positions.among(tied, 0.0) == f"the same as at least 50 % of {of}"
    exact = replace(tied, ties=((0.0, 0.0, 0.62),))
    assert cue_positions.among(exact, 0.0) == f"the same as 62 % of {of}"
    assert cue_positions.among(exact, 1e-9) == f"higher than 62 % of {of}"


def test_positions_are_of_families_with_norms_and_say_which_the_model_reads():
    values = {"blink.rate_per_min": 9.9, "lip_sync.lsd": 5.0, "quality.iod_px": 1.0, "forensic_cnn.logit_mean": 5.0}
    norm_of = dict.fromkeys(values, SPREAD)
    versions = dict.fromkeys(("blink", "lip_sync", "quality", "voice", "forensic_cnn"), 1)
    read = {"lip_sync.lsd", "forensic_cnn.logit_mean"}
    found = cue_positions.positions(values | {"voice.flux_med": 0.5}, norm_of, read, versions)
    assert [(one.family, one.used, one.covariates, one.n_outside) for one in found] == [
        ("forensic_cnn", True, False, 0),
        ("lip_sync", True, False, 0),
        ("blink", False, False, 1),
        ("quality", False, True, 0),
    ]
    assert found[2].shown[0].title == "Blink rate"
    assert found[2].shown[0].value == "9.9 per minute"


@pytest.fixture(scope="module")
def shipped_read():
    return cue_positions.columns_read(read_manifest(SHIPPED_MODEL))


def test_the_columns_that_a_model_reads_are_those_of_its_learners(shipped_read):
    assert {"blending.lightness_core_rest_med", "forensic_cnn.logit_mean", "forensic_voice.logit"} <= shipped_read
    assert not {"blending.lab_core_rest_med", "eyes_teeth.teeth_laws_ee", "forensic_cnn.logit_std"} & shipped_read
    columns = ["forensic_cnn.logit_mean", "forensic_cnn.logit_std", "blink.rate_per_min"]
    stack = {"learners": ["networks", "lightgbm"], "weights": [1.0, 0.0]}
    manifest = {"columns": columns, "learners": dict.fromkeys(stack["learners"], 5), "stack": stack}
    assert cue_positions.columns_read(manifest) == {"forensic_cnn.logit_mean"}
    stack["weights"] = [0.5, 0.5]
    assert cue_positions.columns_read(manifest) == set(columns)


@pytest.mark.parametrize("family", ["blending", "eyes_teeth", "face_contrast", "forensic_cnn", "forensic_voice"])
def test_what_stands_for_a_family_of_the_model_is_read_by_the_model(shipped_read, family):
    """Non-regression test: differences of colour and of teeth stood under "read by the model"."""
    norm_of = norms.read_norms({one.name: one.version for one in families()})
    values = {name: 0.5 for name in norm_of if name.split(".")[0] == family}
    (found,) = cue_positions.positions(values, norm_of, shipped_read, {family: 1})
    assert found.used
    assert 1 <= len(found.shown) <= 4
    assert all(one.used and one.name in shipped_read for one in found.shown)
    assert found.n_used == sum(name in shipped_read for name in values)
    assert all(one.title == cue_titles.COLUMNS[one.name] for one in found.shown)


def test_where_nothing_that_the_model_reads_could_be_measured_others_stand_for_a_family(shipped_read):
    values = {"eyes_teeth.teeth_laws_ee": 0.5}
    (found,) = cue_positions.positions(values, dict.fromkeys(values, SPREAD), shipped_read, {"eyes_teeth": 1})
    assert [one.name for one in found.shown] == list(values)
    assert not found.used
    values = {"eyes_teeth.valid_iris_share": 0.0, "eyes_teeth.valid_teeth_share": 0.1}  # no cues
    assert cue_positions.positions(values, dict.fromkeys(values, SPREAD), shipped_read, {"eyes_teeth": 1}) == []


def test_headline_columns_exist_and_shipped_norms_cover_them():
    declared = {column.name for one in families() for column in one.table_columns}
    assert set(cue_titles.COLUMNS) <= declared
    assert set(cue_titles.COLUMNS) <= set(norms.read_norms({one.name: one.version for one in families()}))


def test_the_page_shows_positions_from_the_shipped_norms(tmp_path):
    cues = {"blink.valid_share": 1.0, "blink.rate_per_min": 500.0}
    page = Page(page_of(tmp_path, evidence=clip_evidence(cues=cues)))
    assert re.search(
        r"Blink rate500 per minutehigher than all real clips \(\d+ of \d+ sources", page.text.replace("> <", "")
    )
    assert "context: not read by the model" in page.text


def seen_in(n_frames, evidence, *, faces=1):
    """The clip of so many frames at 30 a second, of whose face the first ``faces`` images are scored."""
    (main,) = evidence.people
    times_s = np.arange(n_frames) / 30
    briefly = replace(main, boxes_times_s=times_s, boxes=main.boxes[:n_frames], faces=main.faces[:faces])
    return replace(evidence, people=(briefly,))


@pytest.mark.parametrize(
    ("n_frames", "words"),
    [(1, "Seen in one frame, at 0.00 s; 1 face scored"), (2, "Tracked from 0.00 to 0.03 s; 1 face scored")],
)
def test_a_clip_of_few_frames_says_when_its_face_is_seen(tmp_path, n_frames, words):
    """Non-regression: "Followed from 0.0 to 0.0 s"."""
    assert words in Page(page_of(tmp_path, evidence=seen_in(n_frames, clip_evidence()))).text


def test_networks_that_count_are_named_without_single_faces(tmp_path):
    """Non-regression: "0 faces judged", and nothing of the networks that contribute to the number below."""
    cues = {"forensic_cnn.logit_mean": -0.44, "forensic_voice.logit": 1.0, "forensic_cnn.logit_mean_max": 2.0}
    text = Page(page_of(tmp_path, evidence=seen_in(1, clip_evidence(cues=cues), faces=0))).text
    assert "no image of a single face was kept." in text
    assert "As a cue, of up to eight faces in varied views: Face network −0.4 on average." in text
    assert "0 faces" not in text
