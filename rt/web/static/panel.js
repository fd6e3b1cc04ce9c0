// The style buttons, the controls, and the statistics.

import { showShare, styleButton } from "./controls.js";

const SLOW = 0.6; // of the camera's frame rate
const FIGURES_MS = 2000; // window of the frame rate
const NAMES = { openvino: "OpenVINO", onnxruntime: "ONNX Runtime", tensorrt: "TensorRT", "tensorrt-rtx": "TensorRT for RTX" };
const $ = (id) => document.getElementById(id);

export class Panel {
  /** `change(update)` is called for every control changed, `chooseCamera(id)` for another camera. */
  constructor(change, chooseCamera) {
    this.styles = [];
    this.change = change;
    for (const id of ["strength", "steady", "mix"]) {
      $(id).addEventListener("input", () => {
        const value = Number($(id).value);
        showShare(id, value);
        change({ [id]: id === "steady" ? value || null : value });
      });
    }
    $("second").onchange = () => change({ style: this.mixed($("styles").querySelector("[aria-checked=true]")?.dataset.id) });
    $("size").onchange = () => change({ size: Number($("size").value) || null });
    $("detail").onchange = () => change({ detail: $("detail").value });
    $("camera").onchange = () => chooseCamera($("camera").value);
    $("styles").addEventListener("keydown", (event) => this.step(event));
  }

  listStyles(styles) {
    this.styles = styles;
    $("styles").replaceChildren(...styles.map((style, index) => styleButton(style, index, "radio", (id) => this.change({ style: this.mixed(id) }))));
    const second = $("second").value;
    $("second").replaceChildren(new Option("none", ""), ...styles.map(({ id }) => new Option(id, id)));
    $("second").value = styles.some(({ id }) => id === second) ? second : "";
  }

  /** The name of a style, mixed with the second one where one is chosen: monet+wave. */
  mixed(id) {
    const second = $("second").value;
    return second && second !== id ? `${id}+${second}` : id;
  }

  step(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const buttons = [...$("styles").children];
    const next = buttons.at((buttons.indexOf(document.activeElement) + step) % buttons.length);
    next.focus();
    next.click();
  }

  /** Show the state of the controls. */
  showControls({ style, strength, steady, mix, size, detail }) {
    const [first, second] = style.split("+");
    for (const button of $("styles").children) {
      const chosen = button.dataset.id === first;
      if (chosen && button.ariaChecked !== "true") bringIntoView(button);
      button.ariaChecked = String(chosen);
      button.tabIndex = chosen ? 0 : -1;
    }
    $("tag-after").textContent = style;
    showShare("strength", strength);
    showShare("steady", steady ?? 0);
    showShare("mix", mix);
    $("mix-label").hidden = !second;
    if (second) $("second").value = second;
    $("detail").value = detail;
    const known = this.styles.filter(({ id }) => id === first || id === second);
    const own = new Option(`auto, ${Math.max(...known.map((each) => each.size))} px`, "");
    const sizes = known.map((each) => each.sizes).reduce((some, others) => some.filter((px) => others.includes(px)), known[0]?.sizes ?? []);
    $("size").replaceChildren(own, ...sizes.map((px) => new Option(`${px} px`, px)));
    $("size").value = size ?? "";
    $("size").disabled = !sizes.length;
  }

  listCameras(cameras, chosen) {
    const known = cameras.filter(({ deviceId }) => deviceId); // before permission is granted they have no names
    $("camera").replaceChildren(...known.map(({ deviceId, label }, index) => new Option(label || `camera ${index + 1}`, deviceId)));
    if (!known.length) $("camera").replaceChildren(new Option("none", ""));
    $("camera").disabled = !known.length;
    if (chosen) $("camera").value = chosen;
  }

  /** Show the server's statistics and the page's own; returns whether the network is slower than the camera. */
  showStatus(status, meter, cameraFps) {
    const { fps, trip } = meter.read();
    const slow = cameraFps && status.translate_ms > 1000 / cameraFps && fps < SLOW * cameraFps;
    $("fps").textContent = fps === null ? "–" : Math.round(fps);
    $("camera-fps").textContent = cameraFps ? `of ${Math.round(cameraFps)}` : "";
    $("latency").textContent = trip === null ? "–" : Math.round(trip);
    $("dropped").textContent = (status.dropped + meter.dropped()).toLocaleString("en");
    $("network").textContent = status.size ? `${status.size[1]}×${status.size[0]}` : "–";
    const still = status.still ? `, ${Math.round(100 * status.still)} % still` : "";
    $("translate").textContent = status.translate_ms ? `${status.translate_ms.toFixed(0)} ms${still}` : "";
    $("backend").textContent = status.backend ? `${NAMES[status.backend] ?? status.backend} ${status.precision.toUpperCase()}` : "–";
    const others = status.visitors > 1 ? `, shared by ${status.visitors} visitors` : "";
    $("device").textContent = status.device ? `${status.device}${others}` : "";
    for (const button of $("styles").children) button.classList.toggle("loading", button.dataset.id === status.loading?.split("+")[0]);
    $("hint").hidden = !slow;
    if (slow) $("hint").textContent = `The network takes ${Math.round(status.translate_ms)} ms a frame, longer than the camera's ${Math.round(1000 / cameraFps)} ms. A smaller network size is faster.`;
    return Boolean(slow);
  }
}

/** Counts frames and round trips over the last two seconds; `dropped()` counts frames never sent. */
export class Meter {
  constructor(dropped) {
    this.dropped = dropped;
    this.shown = [];
  }

  count(trip) {
    this.shown.push({ now: performance.now(), trip });
  }

  read() {
    const since = performance.now() - FIGURES_MS;
    this.shown = this.shown.filter(({ now }) => now > since);
    if (!this.shown.length) return { fps: null, trip: null };
    const trips = this.shown.map(({ trip }) => trip).sort((one, other) => one - other);
    return { fps: (1000 * trips.length) / FIGURES_MS, trip: trips[trips.length >> 1] };
  }
}

/** Scroll the row of styles, never the page. */
function bringIntoView(button) {
  const row = button.parentElement;
  const left = button.offsetLeft - row.offsetLeft;
  if (left < row.scrollLeft || left + button.offsetWidth > row.scrollLeft + row.clientWidth) row.scrollLeft = left - button.offsetWidth / 2;
}
