// The page of batches: upload, choose styles, watch, download.

import { styleButton, showShare } from "./controls.js";
import { Files, bytes } from "./files.js";
import { pill } from "./notices.js";
import { batchId, keepBatch, stay } from "./stay.js";
import { dropped, upload } from "./upload.js";

const LOOK_MS = 500; // between looks at a batch that is translated
const REST_MS = 5000; // else
const $ = (id) => document.getElementById(id);

const files = new Files($("list"), { remove, show });
let styles = [];
let batch = null; // the server's last word
let chosen = new Set();
let sending = null; // the file that is being uploaded
let wanted = false; // translate as soon as all is uploaded
let looking;

// ---- the server ----

/** Ask the server; returns its answer as JSON. A refusal is shown and thrown. */
async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(`/api/batches${path}`, { method, body: body && JSON.stringify(body), cache: "no-store" });
  } catch {
    pill("away", "disconnected");
    throw new Error("the studio cannot be reached");
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const { error } = await answer.json().catch(() => ({ error: answer.statusText }));
  if (answer.status === 401 || answer.status === 403) signedOut();
  else if (answer.status === 404 && batch) lost();
  else say(error);
  throw new Error(error);
}

const own = (rest = "") => `/${batchId()}${rest}`;

function take(state) {
  batch = state;
  files.take(state);
  render();
  clearTimeout(looking);
  if (state) looking = setTimeout(look, active() || sending ? LOOK_MS : REST_MS);
}

async function look() {
  clearTimeout(looking);
  if (!batchId()) return;
  try {
    take(await ask("GET", own()));
    if (batch.leaving) await stay(); // another tab with this batch was closed
  } catch {
    looking = setTimeout(look, REST_MS);
  }
}

/** The studio was restarted, or a day is over. */
function lost() {
  keepBatch(null);
  files.clear();
  wanted = false;
  take(null);
  say("The files were deleted: the studio was restarted, or they were a day old.");
}

function signedOut() {
  pill("away", "signed out");
  say("You are signed out. Open the address that videobrush studio printed at start.");
}

function say(text) {
  $("fault").hidden = !text;
  $("fault").textContent = text;
}

// ---- uploads ----

function add(found) {
  say("");
  for (const { file, path } of found) files.add(file, path);
  render();
  pump();
}

/** Upload the files one after the other. */
async function pump() {
  if (sending) return;
  sending = files.next();
  if (!sending) {
    if (wanted) start();
    return render();
  }
  try {
    if (!batchId()) {
      batch = await ask("POST", "");
      keepBatch(batch.id);
    }
    const answer = await upload(own("/files"), sending, () => files.refresh(sending));
    files.uploaded(sending, answer);
  } catch (error) {
    files.failed(sending, error.message);
  }
  sending = null;
  look();
  pump();
}

async function remove(entry) {
  if (entry.number) await ask("DELETE", own(`/files/${entry.number}`)).catch(() => null);
  else files.drop(entry);
  look();
  render();
}

// ---- translating ----

const active = () => batch?.state === "running" || batch?.state === "waiting";

async function start() {
  wanted = false;
  say("");
  const strength = Number($("strength").value);
  const steady = Number($("steady").value);
  const body = { styles: styles.map(({ id }) => id).filter((id) => chosen.has(id)), strength, steady };
  await ask("POST", own("/start"), body).then(take, () => render());
}

async function stop() {
  await ask("POST", own("/stop")).catch(() => null);
  look();
}

async function clear() {
  wanted = false;
  files.clear();
  if (batchId()) await ask("DELETE", own()).catch(() => null);
  keepBatch(null);
  say("");
  take(null);
}

// ---- what is shown ----

function render() {
  const there = files.count();
  $("drop").classList.toggle("small", there > 0);
  $("choose").classList.toggle("primary", !there);
  const items = batch?.items ?? [];
  const ended = items.filter(({ state }) => !["waiting", "running"].includes(state));
  const good = items.filter(({ state }) => state === "done" || state === "damaged");
  const failed = items.filter(({ state }) => state === "failed");
  $("overall").hidden = !there;
  $("overall-title").textContent = title(there, items.length, ended.length, failed.length);
  $("overall-text").textContent = detail(there);
  const share = sending && !active() ? files.share() : (batch?.share ?? 0);
  $("overall-meter").hidden = !active() && !sending;
  $("overall-meter").ariaValueNow = String(Math.round(100 * share));
  $("overall-meter").firstElementChild.style.setProperty("--share", share);
  $("zip").hidden = !good.length;
  if (good.length) $("zip").href = `/api/batches${own("/results.zip")}`;
  $("again").hidden = active() || !failed.length;
  $("start").disabled = !active() && (!there || !chosen.size || wanted);
  $("start").textContent = button(there);
  $("start").classList.toggle("primary", !active());
  if (batch?.fault) say(batch.fault);
  if (active()) pill("live", batch.state === "waiting" ? "waiting" : "translating");
  else pill("live", sending ? "uploading" : "ready");
}

function title(there, items, ended, failed) {
  if (active() || (ended && ended < items)) return `${ended} of ${items} done`;
  if (ended) return failed ? `${ended - failed} done, ${failed} failed` : `All ${ended} done`.replace("All 1 ", "");
  return plural(there, "file");
}

function detail(there) {
  if (batch?.state === "waiting" && batch.ahead) return `${plural(batch.ahead, "batch", "batches")} of others first`;
  if (active()) return [batch.fps && `${batch.fps} fps`, batch.left_s !== null && `about ${duration(batch.left_s)} left`].filter(Boolean).join(", ") || "starting";
  if (sending) return `uploading, ${Math.round(100 * files.share())} %`;
  return there ? bytes(files.bytes()) : "";
}

function button(there) {
  if (active()) return "Stop";
  if (wanted) return "Uploading first …";
  if (!there) return "Translate";
  return `Translate ${plural(there, "file")}${chosen.size > 1 ? ` into ${chosen.size} styles` : ""}`;
}

const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

function duration(seconds) {
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function show(entry, item) {
  const address = `/api/batches${own(`/results/${item.item}`)}`;
  const video = /\.(mp4|m4v|mov|webm|mkv)$/i.test(item.name);
  const media = Object.assign(document.createElement(video ? "video" : "img"), { src: address });
  if (video) Object.assign(media, { controls: true, loop: true, muted: true, autoplay: true, playsInline: true });
  else media.alt = `${entry.name} in ${item.style}`;
  $("preview-media").replaceChildren(media);
  $("preview-title").textContent = item.name;
  $("preview-text").textContent = [bytes(item.bytes), item.frames > 1 && `${item.frames} frames`, item.message].filter(Boolean).join(", ");
  $("preview-link").href = address;
  $("preview").showModal();
}

function choose(id) {
  if (chosen.has(id)) chosen.delete(id);
  else chosen.add(id);
  for (const tile of $("styles").children) tile.ariaChecked = String(chosen.has(tile.dataset.id));
  render();
}

// ---- the start ----

$("choose").onclick = () => $("input").click();
$("input").onchange = () => {
  add([...$("input").files].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
  $("input").value = "";
};
let over = 0; // dragenter and dragleave come for every child
addEventListener("dragenter", () => $("drop").classList.toggle("over", ++over > 0));
addEventListener("dragleave", () => $("drop").classList.toggle("over", --over > 0));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", async (event) => {
  event.preventDefault();
  over = 0;
  $("drop").classList.remove("over");
  add(await dropped(event.dataTransfer));
});
addEventListener("paste", (event) => {
  const pasted = [...(event.clipboardData?.files ?? [])];
  if (pasted.length) add(pasted.map((file) => ({ file, path: file.name })));
});
for (const id of ["strength", "steady"]) {
  $(id).addEventListener("input", () => showShare(id, Number($(id).value)));
  showShare(id, Number($(id).value));
}
$("start").onclick = () => {
  if (active()) return stop();
  wanted = true;
  if (!sending) start();
  render();
};
$("again").onclick = start;
$("clear").onclick = clear;
$("preview").addEventListener("close", () => $("preview-media").replaceChildren());
$("preview").addEventListener("click", ({ target }) => target === $("preview") && $("preview").close()); // beside it

async function begin() {
  const answer = await fetch("/api/styles", { cache: "no-store" }).catch(() => null);
  if (!answer) {
    pill("away", "disconnected");
    return setTimeout(begin, REST_MS);
  }
  if (!answer.ok) return signedOut();
  const { styles: listed, batch: limits } = await answer.json();
  styles = listed;
  $("limits").textContent = `Files or whole folders, up to ${limits.files} files and ${bytes(limits.bytes)} together`;
  $("styles").replaceChildren(...styles.map((style, index) => styleButton(style, index, "checkbox", choose)));
  for (const tile of $("styles").children) tile.ariaChecked = "false";
  const state = await stay();
  const before = new Set((state?.items ?? []).map(({ style }) => style));
  if (!before.size) before.add(styles[0].id);
  before.forEach(choose);
  take(state);
}
begin();
