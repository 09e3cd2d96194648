/* The player on a clip's page, beside the timeline (clip.js): seeking, the cursor, and a box around each person. On the
 * page of a clip that is not finished, the progress. */
(() => {
  "use strict";

  const place = document.getElementById("player");
  const waiting = document.getElementById("waiting");
  const POLL_MS = 700;

  async function ask(id) {
    const answer = await fetch(`/api/clips/${id}`);
    if (!answer.ok) throw new Error("This clip was deleted.");
    return answer.json();
  }

  /* Poll until `done(row)`; a failed request is repeated. */
  async function until(id, say, done) {
    for (;;) {
      try {
        const row = await ask(id);
        if (done(row)) return row;
      } catch (error) {
        say(error instanceof TypeError ? "The server does not answer; trying again." : error.message);
        if (!(error instanceof TypeError)) return null;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async function wait() {
    const text = waiting.querySelector("p"), bar = waiting.querySelector("progress");
    const row = await until(waiting.dataset.clip, (words) => { text.textContent = words; }, ({ state, progress, verdict, score }) => {
      if (progress) {
        const left = progress.left_s === null ? "" : `, about ${Math.max(1, Math.round(progress.left_s))} s left`;
        text.textContent = `${verdict && score !== null ? `${verdict}, P(FAKE) = ${score}; ` : ""}${progress.stage}, ${Math.round(100 * progress.share)} %${left}`;
        bar.value = progress.share;
      } else text.textContent = "In the queue.";
      return state === "done";
    });
    if (row) location.reload();
  }

  async function play() {
    const note = place.querySelector(".player-note");
    const say = (words) => { if (note.textContent !== words) note.textContent = words; };
    const row = await until(place.dataset.clip, say, ({ player, progress }) => {
      if (player === "wanted" && progress) say(`The player is being prepared: ${progress.stage}, ${Math.round(100 * progress.share)} %.`);
      return player !== "wanted";
    });
    if (!row) return;
    if (row.player === "none") say("Browsers can't play this clip, and no preview of it could be made.");
    else if (row.player === "changed") say("The file was changed after it was measured, so it is not played beside the verdict; drop it on the list again to measure it as it is now.");
    else build(row, note);
  }

  function build(row, note) {
    const make = (tag, options, ...children) => {
      const made = Object.assign(document.createElement(tag), options);
      made.append(...children);
      return made;
    };
    const video = make("video", { src: `/clips/${row.id}/video`, controls: true, preload: "auto", playsInline: true });
    const boxes = make("input", { type: "checkbox", checked: true });
    const kept = make("input", { type: "checkbox", checked: true });
    const speed = make("select", {}, ...[0.25, 0.5, 1, 2].map((rate) => make("option", { value: rate, textContent: `${rate} ×`, selected: rate === 1 })));
    const stage = make("div", { className: "stage" }, video);
    const controls = make("div", { className: "controls" }, make("label", {}, boxes, " Boxes of the people"), make("label", {}, kept, " Keep in view"), make("label", {}, "Speed ", speed));
    if (row.player === "preview") controls.append("A small copy: browsers can't play the clip itself.");
    place.replaceChildren(stage, controls);

    const drawn = [];
    const seconds = () => video.currentTime + row.start_s;

    function draw() {
      const now = boxes.checked && window.deepcue ? window.deepcue.boxesAt(seconds()) : [];
      while (drawn.length < now.length) {
        const box = make("div", { className: "box" }, make("span", {}));
        drawn.push(box);
        stage.append(box);
      }
      drawn.forEach((box, i) => {
        box.hidden = i >= now.length;
        if (box.hidden) return;
        const [left, top, right, bottom] = now[i].box.map((fraction) => 100 * fraction);
        Object.assign(box.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
        box.firstChild.textContent = now[i].name;
      });
    }

    function moved() {
      document.dispatchEvent(new CustomEvent("deepcue:time", { detail: { seconds: seconds() } }));
      draw();
    }

    function follow() {
      if (video.paused || video.ended) return;
      moved();
      requestAnimationFrame(follow);
    }

    video.addEventListener("play", follow);
    for (const name of ["seeked", "pause", "ended"]) video.addEventListener(name, moved);
    video.addEventListener("loadedmetadata", () => {
      stage.style.setProperty("--ratio", video.videoWidth / video.videoHeight);
      stage.style.setProperty("--width", video.videoWidth);
    });
    video.addEventListener("loadeddata", draw);
    video.addEventListener("error", () => { note.textContent = "This browser can't play the clip."; place.prepend(note); });
    boxes.addEventListener("change", draw);
    speed.addEventListener("change", () => { video.playbackRate = Number(speed.value); });
    document.addEventListener("deepcue:seek", (event) => {
      video.currentTime = Math.max(0, event.detail.seconds - row.start_s);
    });
    /* On every scroll: a link may jump from above the player to below it, which is no change for an observer. */
    document.addEventListener("scroll", () => {
      const box = place.getBoundingClientRect();
      const away = kept.checked && box.bottom < 0;
      if (away === place.classList.contains("away")) return;
      place.style.minHeight = away ? `${box.height}px` : "";
      place.classList.toggle("away", away);
    }, { passive: true });
  }

  if (waiting) wait();
  if (place) play();
})();
