// The image: before left of the split, after right of it.

const STEP = 0.05;
const EDGE = 0.14; // closer to a side than this its label does not fit

export class Stage {
  constructor(root, canvas, split, tags) {
    Object.assign(this, { root, canvas, split, tags });
    this.pen = canvas.getContext("2d", { alpha: false });
    this.mirrored = false;
    this.comparing = true;
    this.at = 0.5;
    this.place();
    split.addEventListener("pointerdown", (event) => this.drag(event));
    canvas.addEventListener("pointerdown", (event) => this.comparing && this.drag(event));
    split.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP, Home: -1, End: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.move(this.at + step);
    });
  }

  get empty() {
    return !this.after;
  }

  /** Show a pair of ImageBitmaps; the stage owns them from then on. */
  show(before, after) {
    this.before?.close();
    this.after?.close();
    this.before = before;
    this.after = after;
    delete this.root.dataset.empty;
    if (this.canvas.width !== after.width || this.canvas.height !== after.height) {
      Object.assign(this.canvas, { width: after.width, height: after.height });
      this.root.parentElement.style.setProperty("--ratio", after.width / after.height);
    }
    this.draw();
  }

  draw() {
    if (this.empty) return;
    const { width, height } = this.canvas;
    const pen = this.pen;
    pen.setTransform(this.mirrored ? -1 : 1, 0, 0, 1, this.mirrored ? width : 0, 0);
    pen.drawImage(this.after, 0, 0);
    const edge = Math.round(width * this.at);
    if (this.comparing && this.before && edge > 0) {
      const left = this.mirrored ? width - edge : 0; // in unmirrored columns
      const scale = this.before.width / width;
      pen.drawImage(this.before, left * scale, 0, edge * scale, this.before.height, left, 0, edge, height);
    }
    pen.setTransform(1, 0, 0, 1, 0, 0);
  }

  drag(event) {
    if (event.button) return;
    event.preventDefault();
    this.split.focus({ preventScroll: true });
    const follow = (move) => {
      if (move.pointerId !== event.pointerId) return;
      const box = this.canvas.getBoundingClientRect();
      this.move((move.clientX - box.left) / box.width);
    };
    const listening = new AbortController();
    const end = ({ pointerId }) => pointerId === event.pointerId && listening.abort();
    addEventListener("pointermove", follow, listening);
    addEventListener("pointerup", end, listening);
    addEventListener("pointercancel", end, listening);
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

  mirror(on) {
    this.mirrored = on;
    this.draw();
  }

  place() {
    const percent = Math.round(this.at * 100);
    this.root.style.setProperty("--at", `${this.at * 100}%`);
    this.split.setAttribute("aria-valuenow", percent);
    this.split.setAttribute("aria-valuetext", `${percent} % before`);
    this.split.hidden = !this.comparing;
    this.tags[0].hidden = !this.comparing || this.at < EDGE;
    this.tags[1].hidden = !this.comparing || this.at > 1 - EDGE;
  }
}
