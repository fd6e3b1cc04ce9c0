// The picture: before left of the split, after right of it; snapshot and recording of what is seen.

const TYPES = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];
const STEP = 0.05;

export class Stage {
  constructor(root, canvas, split, tags) {
    Object.assign(this, { root, canvas, split, tags });
    this.pen = canvas.getContext("2d", { alpha: false });
    this.mirrored = false;
    this.comparing = true;
    this.at = 0.5;
    this.place();
    split.addEventListener("pointerdown", (event) => this.drag(event));
    root.addEventListener("pointerdown", (event) => {
      if (this.comparing && event.target === canvas) this.drag(event);
    });
    split.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -STEP, ArrowRight: STEP, Home: -1, End: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.move(this.at + step);
    });
  }

  /** Show a pair of ImageBitmaps, which belong to the stage from here on. */
  show(before, after) {
    this.before?.close();
    this.after?.close();
    this.before = before;
    this.after = after;
    if (this.canvas.width !== after.width || this.canvas.height !== after.height) {
      this.canvas.width = after.width;
      this.canvas.height = after.height;
      this.root.style.setProperty("--aspect", `${after.width} / ${after.height}`);
      this.root.style.setProperty("--ratio", after.width / after.height);
    }
    this.draw();
  }

  draw() {
    if (!this.after) return;
    const { width, height } = this.canvas;
    const pen = this.pen;
    pen.setTransform(this.mirrored ? -1 : 1, 0, 0, 1, this.mirrored ? width : 0, 0);
    pen.drawImage(this.after, 0, 0);
    const edge = Math.round(width * this.at);
    if (this.comparing && this.before && edge > 0) {
      const left = this.mirrored ? width - edge : 0; // in the picture's own columns
      const scale = this.before.width / width;
      pen.drawImage(this.before, left * scale, 0, edge * scale, this.before.height, left, 0, edge, height);
    }
    pen.setTransform(1, 0, 0, 1, 0, 0);
  }

  drag(event) {
    event.preventDefault();
    this.split.focus({ preventScroll: true });
    const follow = (move) => {
      const box = this.canvas.getBoundingClientRect();
      this.move((move.clientX - box.left) / box.width);
    };
    const end = () => {
      removeEventListener("pointermove", follow);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
    };
    addEventListener("pointermove", follow);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
    follow(event);
  }

  move(at) {
    this.at = Math.min(1, Math.max(0, at));
    this.place();
    this.draw();
  }

  compare(on) {
    this.comparing = on;
    this.place();
    this.draw();
  }

  place() {
    const percent = Math.round(this.at * 100);
    this.root.style.setProperty("--at", `${this.at * 100}%`);
    this.split.setAttribute("aria-valuenow", percent);
    this.split.setAttribute("aria-valuetext", `${percent} % before`);
    this.split.hidden = !this.comparing;
    this.tags[0].hidden = !this.comparing || this.at < 0.15;
    this.tags[1].hidden = !this.comparing || this.at > 0.85;
  }

  async snapshot() {
    const png = await new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
    save(png, `frameshift-${stamp()}.png`);
  }

  get recording() {
    return this.recorder?.state === "recording";
  }

  /** Begin a recording; returns false where this browser cannot record. */
  record() {
    const type = TYPES.find((kind) => globalThis.MediaRecorder?.isTypeSupported(kind));
    if (!type || !this.canvas.captureStream) return false;
    const parts = [];
    const stream = this.canvas.captureStream(30);
    this.recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 6e6 });
    this.recorder.ondataavailable = (event) => event.data.size && parts.push(event.data);
    this.recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      const suffix = type.startsWith("video/mp4") ? "mp4" : "webm";
      save(new Blob(parts, { type }), `frameshift-${stamp()}.${suffix}`);
    };
    this.recorder.start(1000);
    return true;
  }

  stop() {
    if (this.recording) this.recorder.stop();
  }
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function stamp() {
  return new Date().toISOString().slice(0, 19).replaceAll(":", "-");
}
