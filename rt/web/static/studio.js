// The page: knobs, figures, keys; frames go to the server one at a time and come back translated.

import { Camera } from "./camera.js";
import { Link } from "./link.js";
import { Stage } from "./stage.js";

const ANSWER_MS = 2000; // after this long without an answer the next frame is sent
const SLOW = 0.6; // of the camera's frames a second
const $ = (id) => document.getElementById(id);

const stage = new Stage($("stage"), $("view"), $("split"), [$("tag-before"), $("tag-after")]);
const camera = new Camera(() => fault({ title: "The camera is gone", text: "It was unplugged or switched off. Plug it in, then try again." }));
const shown = { times: [], trips: [], lost: 0 };
let source = null; // "browser" or "server", once the server has said so
let styles = [];
let controls = {};
let flight = null; // the frame that is on its way: {sequence, picture}
let sequence = 0;
let cameraReady = false;
let away = false;

const link = new Link({
  text(message) {
    if (message.type === "welcome") welcome(message);
    else if (message.type === "controls") showControls(message);
    else if (message.type === "status") showStatus(message);
    else if (message.type === "error") toast(message.message);
  },
  picture,
  state(name, detail) {
    land();
    if (name === "away") {
      away = true;
      pill("away", "server away, trying again");
    } else if (name === "full") {
      pill("away", "full");
      notice("The studio is full", detail, "Try again", () => location.reload());
    } else if (name === "refused") {
      pill("away", "closed");
      notice("The server closed the connection", detail || "This page broke a rule.", "Connect again", () => location.reload());
    } else {
      pill("away", "signed out");
      notice("You are signed out", "Open the address that frameshift studio printed when it started.", null);
    }
  },
});

// ---- the server ----

function welcome(message) {
  const again = source !== null;
  source = message.source;
  styles = message.styles;
  listStyles();
  if (again && controls.style) {
    const { style, strength, steady, size, detail } = controls; // as they stood before the server went
    link.sendControls({ ...(styles.some(({ id }) => id === style) && { style }), strength, steady, size, detail });
  } else {
    showControls(message.controls);
  }
  pill("live", "live");
  if (again && away) toast("connected again");
  away = false;
  $("camera-label").hidden = source !== "browser";
  if (source === "browser" && !cameraReady) openCamera();
  else {
    if (source === "server") {
      mirror(false);
      hideNotice();
    }
    pump();
  }
}

async function openCamera(deviceId) {
  cameraReady = false;
  notice("Waiting for the camera", "Your browser asks whether this page may use it.", null);
  try {
    await camera.open(deviceId);
  } catch (error) {
    return fault(error);
  }
  hideNotice();
  cameraReady = true;
  listCameras();
  pump();
}

function fault({ title, text }) {
  cameraReady = false;
  notice(title, text, "Try again", () => openCamera());
}

async function pump() {
  if (flight || !link.open) return;
  const own = { sequence: (sequence = (sequence + 1) >>> 0) };
  flight = own;
  let taken = null;
  if (source === "browser") {
    if (!cameraReady) return land();
    await camera.next();
    taken = await camera.take().catch(() => null);
    if (flight !== own) return taken?.picture.close();
    if (!taken || !link.open) {
      land();
      taken?.picture.close();
      return setTimeout(pump, 100);
    }
    own.picture = taken.picture;
  }
  link.sendFrame(own.sequence, taken?.captured ?? performance.now(), taken?.jpeg);
  own.timer = setTimeout(() => {
    if (flight !== own) return;
    shown.lost += 1;
    land();
    pump();
  }, ANSWER_MS);
}

function land() {
  clearTimeout(flight?.timer);
  flight?.picture?.close();
  flight = null;
}

async function picture({ sequence: number, captured, before, after }) {
  if (flight?.sequence !== number) return; // given up already
  const own = flight;
  clearTimeout(own.timer);
  const kept = own.picture;
  own.picture = null;
  const [afterBitmap, beforeBitmap] = await Promise.all([
    createImageBitmap(after),
    before ? createImageBitmap(before) : kept,
  ]);
  stage.show(beforeBitmap, afterBitmap);
  const now = performance.now();
  shown.times.push(now);
  shown.trips.push(now - captured);
  if (flight === own) flight = null;
  pump();
}

// ---- what is shown ----

function showControls(message) {
  controls = message;
  for (const button of $("styles").children) {
    const chosen = button.dataset.id === message.style;
    button.setAttribute("aria-checked", chosen);
    button.tabIndex = chosen ? 0 : -1;
  }
  $("strength").value = message.strength;
  $("strength-out").textContent = `${Math.round(message.strength * 100)} %`;
  $("steady").value = message.steady ?? 0;
  $("steady-out").textContent = message.steady ? message.steady.toFixed(1) : "off";
  $("detail").value = message.detail;
  const style = styles.find(({ id }) => id === message.style);
  const own = new Option(`the style's own (${style?.size} px)`, "");
  $("size").replaceChildren(own, ...(style?.sizes ?? []).map((px) => new Option(`${px} px`, px)));
  $("size").value = message.size ?? "";
}

function showStatus(message) {
  const now = performance.now();
  shown.times = shown.times.filter((time) => now - time < 2000);
  const fps = shown.times.length / 2;
  const trips = shown.trips.splice(0).sort((a, b) => a - b);
  $("fps").textContent = shown.times.length ? fps.toFixed(0) : "–";
  if (trips.length) $("latency").textContent = `${Math.round(trips[trips.length >> 1])} ms`;
  $("dropped").textContent = message.dropped + shown.lost;
  $("network").textContent = message.size ? `${message.size[1]}×${message.size[0]}` : "–";
  $("engine").textContent = message.backend
    ? `${message.backend}, ${message.precision}, ${message.translate_ms ?? "–"} ms a frame · ${message.device}` +
      (message.visitors > 1 ? ` · ${message.visitors} visitors` : "")
    : "";
  for (const button of $("styles").children) button.classList.toggle("loading", button.dataset.id === message.loading);
  if (message.loading && !message.backend) pill("connecting", "loading the style");
  else if (message.stale) pill("slow", "no new picture from the source");
  else if (source === "browser" && cameraReady && message.translate_ms > 1000 / camera.fps && fps < SLOW * camera.fps) {
    pill("slow", "slower than the camera: try a smaller network size");
  } else pill("live", "live");
}

function listStyles() {
  $("styles").replaceChildren(
    ...styles.map(({ id, title, preview }, index) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", title: index < 9 ? `${title} (${index + 1})` : title });
      button.dataset.id = id;
      button.setAttribute("role", "radio");
      if (preview) button.append(Object.assign(new Image(), { src: preview, alt: "", draggable: false }));
      button.append(Object.assign(document.createElement("span"), { textContent: id }));
      button.onclick = () => change({ style: id });
      return button;
    }),
  );
}

async function listCameras() {
  const found = await camera.list();
  $("camera").replaceChildren(...found.map(({ deviceId, label }, index) => new Option(label || `camera ${index + 1}`, deviceId)));
  $("camera").value = camera.id;
}

function pill(state, text) {
  $("link").dataset.state = state;
  $("link").textContent = text;
}

function notice(title, text, button, action) {
  $("notice").hidden = false;
  $("notice-title").textContent = title;
  $("notice-text").textContent = text;
  $("notice-button").hidden = !button;
  $("notice-button").textContent = button ?? "";
  $("notice-button").onclick = action ?? null;
}

function hideNotice() {
  $("notice").hidden = true;
}

let toastTimer;
function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").classList.remove("shown"), 4000);
}

// ---- what can be done ----

function change(wish) {
  Object.assign(controls, wish);
  link.sendControls(wish);
}

function strengthen(step) {
  const strength = Math.min(1, Math.max(0, Math.round((controls.strength + step) * 20) / 20));
  change({ strength });
  toast(`strength ${Math.round(strength * 100)} %`);
}

function mirror(on) {
  stage.mirrored = on;
  stage.draw();
  $("mirror").setAttribute("aria-pressed", on);
}

function compare(on) {
  stage.compare(on);
  $("compare").setAttribute("aria-pressed", on);
}

let recordedTimer;
function record() {
  if (stage.recording) stage.stop();
  else if (!stage.record()) return toast("this browser cannot record");
  const on = stage.recording;
  $("record").setAttribute("aria-pressed", on);
  $("recording").hidden = !on;
  clearInterval(recordedTimer);
  if (!on) return;
  const began = Date.now();
  $("recorded").textContent = "0:00";
  recordedTimer = setInterval(() => {
    const seconds = Math.floor((Date.now() - began) / 1000);
    $("recorded").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }, 500);
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else $("stage").requestFullscreen?.().catch(() => toast("full screen was refused"));
}

const showKeys = () => ($("help").open ? $("help").close() : $("help").showModal());

$("strength").oninput = (event) => change({ strength: Number(event.target.value) });
$("steady").oninput = (event) => change({ steady: Number(event.target.value) || null });
$("size").onchange = (event) => change({ size: event.target.value ? Number(event.target.value) : null });
$("detail").onchange = (event) => change({ detail: event.target.value });
$("camera").onchange = (event) => openCamera(event.target.value);
$("snapshot").onclick = () => stage.snapshot();
$("record").onclick = record;
$("compare").onclick = () => compare(!stage.comparing);
$("mirror").onclick = () => mirror(!stage.mirrored);
$("full").onclick = fullScreen;
$("help-button").onclick = showKeys;
$("styles").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  const buttons = [...$("styles").children];
  const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
  next.focus();
  next.click();
});

const KEYS = {
  "+": () => strengthen(0.1),
  "=": () => strengthen(0.1),
  "-": () => strengthen(-0.1),
  " ": () => compare(!stage.comparing),
  ArrowLeft: () => stage.move(stage.at - 0.05),
  ArrowRight: () => stage.move(stage.at + 0.05),
  s: () => stage.snapshot(),
  r: record,
  m: () => mirror(!stage.mirrored),
  f: fullScreen,
  h: showKeys,
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const kind = event.target.tagName;
  if (kind === "SELECT" || kind === "INPUT" || (kind === "BUTTON" && event.key === " ")) return;
  const style = /^[1-9]$/.test(event.key) ? styles[Number(event.key) - 1] : null;
  if (style) change({ style: style.id });
  const action = KEYS[event.key];
  if (!style && !action) return;
  event.preventDefault();
  action?.();
});
addEventListener("pagehide", () => {
  stage.stop();
  camera.close();
});
mirror(true);
compare(true);
