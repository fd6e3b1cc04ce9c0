// The page: sends frames to the server one at a time and shows them translated.

import { Camera } from "./camera.js";
import { listenToKeys } from "./keys.js";
import { Link } from "./link.js";
import { listenToMidi } from "./midi.js";
import { Meter, Panel } from "./panel.js";
import { Recorder, snapshot } from "./record.js";
import { fault, hideNotice, hideToast, pill, toast, toastStays, wait } from "./notices.js";
import { Stage } from "./stage.js";
import "./stay.js"; // a batch of this visitor is kept

const ANSWER_MS = 2000; // without an answer the next frame is sent after this long
const RETAKE_MS = 100;
const IDLE_MS = 2500; // in full screen the tools hide after this long
const STRENGTH_STEP = 0.1;
const SPLIT_STEP = 0.05;
const $ = (id) => document.getElementById(id);

const stage = new Stage($("stage"), $("view"), $("split"), [$("tag-before"), $("tag-after")]);
const panel = new Panel(change, openCamera);
const camera = new Camera(() => cameraFault({ title: "The camera is gone", text: "It was unplugged or switched off. Plug it in and the page continues." }));
const recorder = new Recorder($("view"), showRecording, (name) => toast(`saved ${name}`));
const meter = new Meter(() => camera.skipped);
let source = null; // "browser" or "server", as the server says
let controls = {}; // their current state
let changed = {}; // those that the visitor changed
let changes = 0; // how many times
let changedAt = {}; // the number of the last change of each
let cameraFailed = null; // {title, text} of the notice shown
let flight = null; // the frame in flight: {sequence, bitmap, timer}
let sequence = 0;
let views = 0; // open views, which show what this page gets

const link = new Link({ text, frame: showAnswer, state });

// ---- the server ----

function text(message) {
  if (message.type === "welcome") welcome(message);
  else if (message.type === "controls") showControls(message);
  else if (message.type === "status") showStatus(message);
  else if (message.type === "note") toast(message.message);
  else if (message.type === "error") toast(message.message, source === "server");
}

function welcome(message) {
  const again = source !== null;
  source = message.source;
  panel.listStyles(message.styles);
  changedAt = {}; // the server counts anew
  showControls(message.controls);
  if (again) {
    const { style, ...knobs } = changed; // the server may have other styles now
    const known = style?.split("+").every((name) => message.styles.some(({ id }) => id === name));
    change(known ? changed : knobs);
    toast("reconnected");
  } else {
    mirror(source === "browser"); // a visitor's own camera, as in a mirror
  }
  $("panel").inert = false;
  pill("live", "live");
  $("camera-label").hidden = source !== "browser";
  if (source === "server") {
    waitForImage();
    pump();
  } else if (camera.ready) {
    waitForImage();
    camera.rest();
    pump();
  } else if (!cameraFailed) {
    openCamera();
  } else {
    cameraFault(cameraFailed);
  }
}

function state(name, detail) {
  abandon();
  $("panel").inert = true;
  if (name === "away") {
    pill("away", "disconnected");
    if (detail > 0) wait("Server not reachable", "The page reconnects by itself.");
  } else if (name === "full") {
    pill("away", "full");
    fault("The studio is full", `${detail}. This page tries again every ten seconds.`, "Try now", () => link.connect());
  } else if (name === "refused") {
    pill("away", "closed");
    fault("The server closed the connection", detail, "Reconnect", () => link.connect());
  } else {
    pill("away", "signed out");
    fault("You are signed out", "Open the address that videobrush studio printed at start.", "Reconnect", () => link.connect());
  }
}

/** Show the server's state of the controls; what was changed after the update that it answers stays. */
function showControls({ number, ...values }) {
  for (const id of Object.keys(values)) if (changedAt[id] > (number ?? 0)) values[id] = controls[id];
  controls = values;
  panel.showControls(controls);
}

function showStatus(message) {
  views = message.views;
  const cameraFps = source === "browser" && camera.ready ? camera.fps : null;
  const slow = panel.showStatus(message, meter, cameraFps);
  if (cameraFailed) pill("away", "no camera");
  else if (message.loading && !message.backend) pill("waiting", `loading ${message.loading}`);
  else if (message.stale) pill("slow", "no new frames");
  else if (slow) pill("slow", "slower than camera");
  else pill("live", "live");
}

// ---- frames ----

/** Capture a frame and send it, or request the server's next; one is in flight at a time. */
async function pump() {
  if (flight || !link.open || (document.hidden && !recorder.on && !views)) return;
  if (source === "browser" && !camera.ready) return;
  sequence = (sequence + 1) >>> 0;
  const own = (flight = { sequence, bitmap: null, timer: null });
  let taken = null;
  if (source === "browser") {
    await camera.next();
    taken = camera.ready ? await camera.take().catch(() => null) : null;
    if (flight !== own || !taken?.jpeg || !link.open) {
      taken?.bitmap.close();
      if (flight !== own) return;
      abandon();
      setTimeout(pump, RETAKE_MS);
      return;
    }
    own.bitmap = taken.bitmap;
  }
  link.sendFrame(own.sequence, taken?.captured ?? performance.now(), taken?.jpeg);
  own.timer = setTimeout(() => {
    if (flight !== own) return;
    abandon();
    pump();
  }, ANSWER_MS);
}

/** Discard the frame in flight. */
function abandon() {
  clearTimeout(flight?.timer);
  flight?.bitmap?.close();
  flight = null;
}

/** Show a translated frame beside its original. */
async function showAnswer({ sequence: number, captured, before, after }) {
  if (flight?.sequence !== number) return; // discarded already
  const { bitmap, timer } = flight;
  clearTimeout(timer);
  flight.bitmap = null;
  const own = flight;
  try {
    const [translated, original] = await Promise.all([createImageBitmap(after), before ? createImageBitmap(before) : bitmap]);
    stage.show(original, translated);
    meter.count(performance.now() - captured);
    hideNotice();
    if (toastStays()) hideToast();
  } catch (error) {
    bitmap?.close();
    toast(`a frame could not be shown: ${error.message}`);
  }
  if (flight === own) flight = null;
  pump();
}

function waitForImage() {
  if (stage.empty) wait(`Loading ${controls.style}`, "The first frame takes a moment.");
}

// ---- the camera ----

async function openCamera(deviceId) {
  cameraFailed = null;
  abandon(); // a frame of the previous camera would hide the notice
  wait("Waiting for the camera", "Allow this page to use it when the browser asks.");
  try {
    await camera.open(deviceId);
  } catch (error) {
    if (!error.title) throw error;
    return cameraFault(error);
  }
  listCameras();
  wait(`Loading ${controls.style}`, "The first frame takes a moment.");
  pump();
}

function cameraFault({ title, text }) {
  cameraFailed = { title, text };
  abandon();
  pill("away", "no camera");
  fault(title, text, "Try again", () => openCamera());
  if (navigator.mediaDevices) listCameras();
}

async function listCameras() {
  panel.listCameras(await camera.list(), camera.id);
}

navigator.mediaDevices?.addEventListener("devicechange", async () => {
  await listCameras();
  if (cameraFailed && link.open) openCamera();
});
navigator.permissions?.query({ name: "camera" }).then((permission) => {
  permission.onchange = () => permission.state === "granted" && cameraFailed && link.open && openCamera();
}, () => {}); // not supported: the button remains

// ---- actions ----

function change(update) {
  changes += 1;
  changed = { ...changed, ...update };
  for (const id of Object.keys(update)) changedAt[id] = changes;
  controls = { ...controls, ...update };
  panel.showControls(controls);
  link.sendControls({ ...update, number: changes });
}

function addStrength(step) {
  const strength = Math.min(1, Math.max(0, Math.round(100 * (controls.strength + step)) / 100));
  change({ strength });
  toast(`strength ${Math.round(strength * 100)} %`);
}

function chooseStyle(index) {
  const style = panel.styles[index];
  if (!style) return toast(`there is no style ${index + 1}: ${panel.styles.length} can be chosen`);
  change({ style: panel.mixed(style.id) });
  toast(style.title);
}

function mirror(on) {
  stage.mirror(on);
  $("mirror").ariaPressed = String(on);
}

function compare(on) {
  stage.compare(on);
  $("compare").ariaPressed = String(on);
}

async function takeSnapshot() {
  if (stage.empty) return toast("there is no image yet");
  toast(`saved ${await snapshot($("view"), controls.style)}`);
}

function record() {
  if (recorder.on) recorder.end();
  else if (stage.empty) toast("there is no image yet");
  else if (!recorder.begin(controls.style)) toast("this browser cannot record");
}

let ticking;
function showRecording(on) {
  $("record").ariaPressed = String(on);
  $("record").lastElementChild.textContent = on ? "Stop" : "Record";
  $("recording").hidden = !on;
  clearInterval(ticking);
  const began = performance.now();
  const tick = () => {
    const seconds = Math.floor((performance.now() - began) / 1000);
    $("recorded").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  tick();
  if (on) ticking = setInterval(tick, 500);
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else $("viewer").requestFullscreen().catch(() => toast("full screen is not allowed here"));
}

let idle;
function showTools() {
  $("viewer").classList.remove("idle");
  clearTimeout(idle);
  if (document.fullscreenElement) idle = setTimeout(() => $("viewer").classList.add("idle"), IDLE_MS);
}

const showKeys = () => ($("help").open ? $("help").close() : $("help").showModal());

$("snapshot").onclick = takeSnapshot;
$("record").onclick = record;
$("compare").onclick = () => compare(!stage.comparing);
$("mirror").onclick = () => mirror(!stage.mirrored);
$("full").onclick = fullScreen;
$("full").hidden = !document.fullscreenEnabled; // some phones allow it for videos only
$("help-button").onclick = showKeys;

listenToKeys({
  style: chooseStyle,
  "+": () => addStrength(STRENGTH_STEP),
  "=": () => addStrength(STRENGTH_STEP),
  "-": () => addStrength(-STRENGTH_STEP),
  _: () => addStrength(-STRENGTH_STEP),
  " ": () => compare(!stage.comparing),
  ArrowLeft: () => stage.move(stage.at - SPLIT_STEP),
  ArrowRight: () => stage.move(stage.at + SPLIT_STEP),
  s: takeSnapshot,
  r: record,
  m: () => mirror(!stage.mirrored),
  f: fullScreen,
  h: showKeys,
});

/** Listen to MIDI; `asked` where the visitor wants to know whether it works. */
async function useMidi(asked) {
  try {
    const count = await listenToMidi({ style: chooseStyle, knob: turn, snapshot: takeSnapshot, record });
    $("midi").hidden = true;
    if (count || asked) toast(count ? "MIDI: pads from C2 choose styles; CC 1 mix, CC 7 strength, CC 74 deflicker" : "no MIDI controller yet: plug one in");
  } catch (error) {
    if (asked) toast(`MIDI cannot be used: ${error.message}`);
  }
}

function turn(id, share) {
  const value = Math.round(100 * share) / 100;
  change({ [id]: id === "steady" ? value || null : value });
}

$("midi").onclick = () => useMidi(true);
$("midi").hidden = !navigator.requestMIDIAccess; // not on every browser, and only on https:// and localhost
navigator.permissions?.query({ name: "midi" }).then(({ state }) => state === "granted" && !$("midi").hidden && useMidi(false), () => {});

for (const event of ["pointermove", "pointerdown", "keydown", "focusin"]) $("viewer").addEventListener(event, showTools);
addEventListener("fullscreenchange", () => {
  $("full").ariaPressed = String(Boolean(document.fullscreenElement));
  showTools();
});
addEventListener("visibilitychange", () => {
  camera.rest();
  pump();
});
addEventListener("pagehide", () => {
  recorder.end();
  camera.close();
});
addEventListener("pageshow", ({ persisted }) => persisted && location.reload()); // its camera was closed
