/* The list of clips: uploads, progress, sorting, search, deletion. The page polls the server for changes. File names are
 * inserted as text, never as markup. */
(() => {
  "use strict";

  const $ = (id) => document.getElementById(id);
  const rows = new Map(); // rows of the server, by ID
  const shown = new Map(); // table rows, by ID
  const BUSY_MS = 600, IDLE_MS = 2500, SURE_MS = 5000;
  const AT_ONCE = 2, TRIES = 40, RETRY_MS = 1500; // limits for uploads
  const most = Number($("uploads").dataset.most);
  let boot = "", version = 0, key = "number", down = true, timer = 0;

  function element(tag, options = {}, ...children) {
    const made = Object.assign(document.createElement(tag), options);
    made.append(...children);
    return made;
  }

  const size = (n) => (n >= 1e9 ? `${(n / 1e9).toFixed(1)} GB` : n >= 1e6 ? `${Math.round(n / 1e6)} MB` : n >= 1e3 ? `${Math.round(n / 1e3)} kB` : `${n} bytes`);
  const length = (s) => (s >= 59.95 ? `${Math.floor(Math.round(s) / 60)}:${String(Math.round(s) % 60).padStart(2, "0")} min` : `${s.toFixed(1)} s`);
  const say = (text) => { $("notice").textContent = text; $("notice").hidden = !text; };

  /* ---- answers of the server */
  async function poll() {
    clearTimeout(timer);
    try {
      const answer = await fetch(`/api/clips?since=${version}&boot=${boot}`);
      if (!answer.ok) throw new Error(await answer.text());
      take(await answer.json());
      say("");
    } catch (error) {
      say(error instanceof TypeError ? "The server does not answer; trying again." : error.message);
    }
    const busy = [...rows.values()].some((row) => row.state !== "done" || row.progress);
    timer = setTimeout(poll, document.hidden ? 4 * IDLE_MS : busy ? BUSY_MS : IDLE_MS);
  }

  function take(changes) {
    if (changes.all) {
      const left = new Set(changes.rows.map((row) => row.id));
      changes.deleted = [...rows.keys()].filter((id) => !left.has(id));
    }
    ({ boot, version } = changes);
    for (const id of changes.deleted) {
      rows.delete(id);
      shown.delete(id);
    }
    for (const row of changes.rows) {
      rows.set(row.id, row);
      if (!shown.has(row.id)) shown.set(row.id, element("tr"));
      fill(shown.get(row.id), row);
    }
    $("room").textContent = `The work folder holds ${size(changes.room.used)} of at most ${size(changes.room.most)}.`;
    arrange();
  }

  /* ---- the table */
  function fill(line, row) {
    const text = JSON.stringify(row);
    if (line.dataset.text === text) return;
    line.dataset.text = text;
    const focused = document.activeElement && line.contains(document.activeElement) && document.activeElement.dataset.does;
    const facts = [row.duration_s === null ? "" : length(row.duration_s), size(row.size)].filter(Boolean).join(", ");
    const name = element("th", { className: "name", scope: "row" }, element("a", { href: `/clips/${row.id}`, textContent: row.shown, dir: "auto" }), element("small", { textContent: facts }));
    if (row.error) name.append(element("small", { textContent: row.error, className: row.verdict && row.verdict !== "nothing measured" ? "" : "failed" }));
    const score = element("td", { className: "n score-cell" });
    if (row.probability !== null) {
      const needle = element("i");
      needle.style.left = `${100 * row.probability}%`;
      const scale = element("span", { className: "scale" }, needle);
      scale.setAttribute("aria-hidden", "true");
      score.append(element("span", { className: "score", textContent: row.score }), scale);
    }
    const added = new Date(1000 * row.added_s);
    line.replaceChildren(
      name, score, verdict(row),
      element("td", { className: "added" }, element("time", { dateTime: added.toISOString(), textContent: added.toLocaleString([], { dateStyle: "short", timeStyle: "short" }) })),
      element("td", { className: "actions" }, ...actions(row)),
    );
    if (focused) line.querySelector(`[data-does="${focused}"]`)?.focus();
  }

  function verdict(row) {
    const cell = element("td", { className: "verdict-cell" });
    if (row.state === "done" || row.verdict) {
      cell.append(row.verdict || "nothing measured");
      if (row.status !== "ok") cell.append(element("small", { textContent: row.said }));
    }
    if (row.state === "done") return cell;
    if (row.progress) {
      const { stage, share, left_s } = row.progress;
      const bar = element("progress", { max: 1, value: share });
      bar.setAttribute("aria-label", `Progress of ${row.shown}`);
      const left = left_s === null ? "" : `, about ${Math.max(1, Math.round(left_s))} s left`;
      cell.append(bar, element("small", { textContent: `${stage}, ${Math.round(100 * share)} %${left}` }));
    } else cell.append("in the queue");
    return cell;
  }

  function actions(row) {
    const buttons = [];
    if (row.state === "done" && (["crashed", "timeout"].includes(row.status) || !row.has_page)) {
      buttons.push(action("again", "Try again", row, () => fetch(`/api/clips/${row.id}/again`, { method: "POST" })));
    }
    const remove = action("delete", "Delete", row, () => {
      if (remove.classList.contains("sure")) return fetch(`/api/clips/${row.id}`, { method: "DELETE" });
      remove.classList.add("sure");
      const label = (word) => { remove.textContent = word; remove.setAttribute("aria-label", `${word} ${row.shown}`); };
      label("Really delete");
      setTimeout(() => { remove.classList.remove("sure"); label("Delete"); }, SURE_MS);
      return null;
    });
    return [...buttons, remove];
  }

  function action(does, text, row, done) {
    const button = element("button", { type: "button", textContent: text });
    button.dataset.does = does;
    button.setAttribute("aria-label", `${text} ${row.shown}`);
    button.addEventListener("click", async () => {
      const asked = done();
      if (!asked) return;
      await asked.catch(() => null);
      poll();
    });
    return button;
  }

  function arrange() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const matching = [...rows.values()].filter((row) => words.every((word) => `${row.name} ${row.verdict} ${row.status} ${row.said}`.toLowerCase().includes(word)));
    const rank = (row) => (row[key] === null || row[key] === "" ? null : row[key]);
    matching.sort((a, b) => {
      const [first, second] = [rank(a), rank(b)];
      if (first === null || second === null) return (first === null) - (second === null) || b.number - a.number; // unknown last
      const order = typeof first === "string" ? first.localeCompare(second, undefined, { numeric: true }) : first - second;
      return (down ? -order : order) || b.number - a.number;
    });
    const wanted = matching.map((row) => shown.get(row.id)), now = [...$("rows").children];
    if (wanted.length !== now.length || wanted.some((line, i) => line !== now[i])) {
      const focused = document.activeElement;
      $("rows").replaceChildren(...wanted);
      if (focused?.isConnected) focused.focus();
    }
    for (const head of document.querySelectorAll("th[data-key]")) {
      if (head.dataset.key === key) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const waiting = [...rows.values()].filter((row) => row.state !== "done").length;
    const counted = matching.length === rows.size ? `${rows.size}` : `${matching.length} of ${rows.size}`;
    const text = `${counted} ${rows.size === 1 ? "clip" : "clips"}${waiting ? `, ${waiting} to be measured` : ""}`;
    if ($("count").textContent !== text) $("count").textContent = text;
    $("empty").hidden = rows.size > 0;
  }

  function sortBy(name, descending) {
    [key, down] = [name, descending];
    arrange();
  }

  for (const head of document.querySelectorAll("th[data-key]")) {
    head.querySelector("button").addEventListener("click", () => {
      sortBy(head.dataset.key, key === head.dataset.key ? !down : !["name", "verdict"].includes(head.dataset.key));
    });
  }
  $("order").addEventListener("change", (event) => sortBy(event.target.value, event.target.value !== "name"));
  $("search").addEventListener("input", arrange);

  /* ---- uploads */
  const waiting = [];
  let underWay = 0;

  function add(file) {
    const bar = element("progress", { max: 1, value: 0 });
    bar.setAttribute("aria-label", `Upload of ${file.name}`);
    const stop = element("button", { type: "button", textContent: "Cancel" });
    const line = element("li", {}, element("span", { className: "name", textContent: file.name }), bar, stop);
    const job = { file, line, bar, tries: 0, request: null };
    stop.addEventListener("click", () => {
      if (waiting.includes(job)) waiting.splice(waiting.indexOf(job), 1);
      line.remove();
      job.gone = true;
      job.request?.abort();
    });
    $("uploads").append(line);
    if (file.size > most) return fail(job, `larger than ${$("uploads").dataset.mostText}; cut it, or start the server with a larger --max-upload`);
    if (!file.size) return fail(job, "the file is empty");
    waiting.push(job);
    next();
  }

  function fail(job, message) {
    job.bar.remove();
    job.line.querySelector("button").textContent = "Dismiss";
    job.line.append(element("span", { className: "failed", textContent: message, role: "alert" }));
  }

  function next() {
    while (underWay < AT_ONCE && waiting.length) send(waiting.shift());
  }

  function send(job) {
    underWay += 1;
    const request = (job.request = new XMLHttpRequest());
    request.open("POST", `/api/clips?name=${encodeURIComponent(job.file.name.toWellFormed?.() ?? job.file.name)}`);
    const type = job.file.type.split(";")[0];
    request.setRequestHeader("Content-Type", type.startsWith("video/") ? type : "application/octet-stream");
    request.upload.addEventListener("progress", (event) => { job.bar.value = event.loaded / event.total; });
    request.addEventListener("loadend", () => {
      underWay -= 1;
      if (request.status === 201) {
        job.line.remove();
        poll();
      } else if (!job.gone && (request.status === 503 || !request.status) && ++job.tries < TRIES) {
        setTimeout(() => { if (!job.gone) waiting.unshift(job); next(); }, RETRY_MS);
      } else if (!job.gone) {
        let message = "the server does not answer; drop the clip again";
        try { message = JSON.parse(request.responseText).error; } catch { /* no answer, or none of ours */ }
        fail(job, message);
      }
      next();
    });
    request.send(job.file);
  }

  async function files(entry) {
    if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
    const reader = entry.createReader(), collected = [];
    for (;;) {
      const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!batch.length) return collected;
      for (const child of batch) if (!child.name.startsWith(".")) collected.push(...(await files(child)));
    }
  }

  $("files").addEventListener("change", (event) => {
    [...event.target.files].forEach(add);
    event.target.value = "";
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", name === "dragover");
    });
  }
  document.addEventListener("drop", async (event) => {
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const plain = [...event.dataTransfer.files];
    if (!entries.some((entry) => entry.isDirectory)) return plain.forEach(add);
    for (const entry of entries) (await files(entry).catch(() => [])).forEach(add);
  });
  window.addEventListener("beforeunload", (event) => { if (underWay) event.preventDefault(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  poll();
})();
