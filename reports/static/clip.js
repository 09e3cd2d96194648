/* The cursor of a clip's timeline: reads every lane at a moment, by pointer and keyboard, and speaks with a player.
 *
 * The page is complete without this script. Events on `document`, both with `detail.seconds`:
 *   deepcue:seek  sent when the reader picks a moment: a click on a lane, the slider, a frame, a face
 *   deepcue:time  to be sent by a player while it plays: the cursor follows; nothing is sent back
 * `window.deepcue` holds `evidence` (the page's JSON: duration_s, lanes, people with boxes as fractions of the frame
 * over time), `seconds`, and `boxesAt(seconds)`: name and box of each person seen then.
 */
(() => {
  "use strict";

  const source = document.getElementById("deepcue-evidence");
  const slider = document.getElementById("moment");
  if (!source || !slider) return;
  const evidence = JSON.parse(source.textContent);
  const duration = evidence.duration_s;
  const plots = [...document.querySelectorAll(".timeline .plot")];
  const readings = [...document.querySelectorAll(".timeline .reading")];
  const STEP_S = 0.1, LARGE_STEP_S = 1, LEAST_REACH_S = 0.1;
  const NONE = "not measured";
  const SPOKEN = 4; // lanes whose values a screen reader hears with the time
  let kept = 0; // the moment that stays when the pointer leaves

  /* Position of the value nearest to a moment; -1 where the nearest is too far for it to speak of that moment. */
  function nearest(times, seconds, far = reach(times)) {
    let low = 0, high = times.length - 1;
    if (high < 0) return -1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] <= seconds) low = middle; else high = middle;
    }
    const at = Math.abs(times[high] - seconds) < Math.abs(times[low] - seconds) ? high : low;
    return Math.abs(times[at] - seconds) <= far ? at : -1;
  }

  const reaches = new WeakMap();
  function reach(times) {
    if (!reaches.has(times)) {
      const steps = times.slice(1).map((t, i) => t - times[i]).sort((a, b) => a - b);
      reaches.set(times, Math.max(LEAST_REACH_S, 1.25 * (steps[steps.length >> 1] || 0)));
    }
    return reaches.get(times);
  }

  function valueAt(name, seconds) {
    const lane = evidence.lanes[name];
    const at = nearest(lane.times, seconds, lane.window_s ? lane.window_s / 2 + LEAST_REACH_S : reach(lane.times));
    const value = at < 0 ? null : lane.values[at];
    if (value === null) return NONE;
    const text = Math.abs(value).toFixed(lane.digits);
    return `${Number(text) === 0 ? "" : value < 0 ? "\u2212" : lane.is_signed ? "+" : ""}${text}`;
  }

  function boxesAt(seconds) {
    return evidence.people.flatMap(({ name, times, boxes }) => {
      const at = nearest(times, seconds);
      return at < 0 ? [] : [{ name, box: boxes[at] }];
    });
  }

  /* As reports/series_words.py says moments: 8.3 s, 1:06.8. */
  function clock(seconds) {
    const tenths = Math.round(10 * seconds);
    if (tenths < 600) return `${(tenths / 10).toFixed(1)} s`;
    return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
  }

  function show(seconds) {
    const text = clock(seconds);
    document.getElementById("moment-text").textContent = text;
    for (const plot of plots) {
      const line = plot.querySelector(".cursor");
      line.setAttribute("x1", `${(100 * seconds) / duration}%`);
      line.setAttribute("x2", `${(100 * seconds) / duration}%`);
    }
    const said = [text];
    for (const output of readings) {
      const value = valueAt(output.dataset.lane, seconds);
      output.textContent = value;
      output.classList.toggle("none", value === NONE);
      if (said.length <= SPOKEN) said.push(`${output.parentElement.querySelector("h4").textContent} ${value}`);
    }
    slider.value = seconds;
    slider.setAttribute("aria-valuetext", said.join("; "));
  }

  function keep(seconds) {
    kept = Math.min(Math.max(seconds, 0), duration);
    show(kept);
  }

  function seek(seconds) {
    keep(seconds);
    document.dispatchEvent(new CustomEvent("deepcue:seek", { detail: { seconds: kept } }));
  }

  function under(event) {
    const box = event.currentTarget.getBoundingClientRect();
    return (Math.min(Math.max(event.clientX - box.left, 0), box.width) / box.width) * duration;
  }

  for (const plot of plots) {
    plot.addEventListener("pointermove", (event) => (event.buttons ? seek(under(event)) : show(under(event))));
    plot.addEventListener("pointerdown", (event) => seek(under(event)));
    plot.addEventListener("pointerleave", () => show(kept));
  }

  slider.addEventListener("input", () => seek(Number(slider.value)));
  slider.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? LARGE_STEP_S : STEP_S;
    const moves = {
      ArrowRight: kept + step, ArrowUp: kept + step, ArrowLeft: kept - step, ArrowDown: kept - step,
      PageUp: kept + LARGE_STEP_S, PageDown: kept - LARGE_STEP_S, Home: 0, End: duration,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    seek(moves[event.key]);
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-seconds]");
    if (!link) return;
    if (link.closest(".filmstrip")) event.preventDefault();
    seek(Number(link.dataset.seconds));
  });
  document.addEventListener("deepcue:time", (event) => keep(event.detail.seconds));

  window.deepcue = { evidence, boxesAt, get seconds() { return kept; } };
  document.documentElement.classList.add("js");
  show(0);
})();
