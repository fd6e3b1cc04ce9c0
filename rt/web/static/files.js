// The list of files: each with its image, how far it is, and a tile for each result.

const THUMB_PX = 240;

export function bytes(count) {
  if (count >= 1e9) return `${Number((count / 1e9).toFixed(1))} GB`;
  return count >= 1e6 ? `${(count / 1e6).toFixed(1)} MB` : `${Math.ceil(count / 1e3)} kB`;
}

export class Files {
  /** `on` has remove(entry) and show(entry, item). */
  constructor(list, on) {
    this.list = list;
    this.on = on;
    this.entries = []; // {path, name, size, file, loaded, number, fault, items, row}
    this.drawing = Promise.resolve();
  }

  add(file, path) {
    this.make({ path, name: file.name, size: file.size, file, loaded: 0 });
  }

  make(entry) {
    entry.items = [];
    entry.row = this.row(entry);
    this.entries.push(entry);
    this.list.append(entry.row);
    this.refresh(entry);
    if (entry.file) this.drawing = this.drawing.then(() => draw(entry)).catch(() => null);
  }

  next() {
    return this.entries.find(({ number, fault, file }) => file && !number && !fault);
  }

  uploaded(entry, { number, name, bytes }) {
    Object.assign(entry, { number, name: name.split("/").at(-1), size: bytes, loaded: bytes });
    this.refresh(entry);
  }

  failed(entry, message) {
    if (!this.entries.includes(entry)) return;
    entry.fault = message;
    this.refresh(entry);
  }

  drop(entry) {
    entry.request?.abort();
    if (entry.url) URL.revokeObjectURL(entry.url);
    entry.row.remove();
    this.entries = this.entries.filter((other) => other !== entry);
  }

  clear() {
    for (const entry of [...this.entries]) this.drop(entry);
  }

  /** Take the server's word: which files it has, and what became of them. */
  take(state) {
    const known = new Map((state?.files ?? []).map((file) => [file.number, file]));
    // A file that was just uploaded is not in an answer that was on its way.
    for (const entry of [...this.entries]) if (entry.seen && !known.has(entry.number)) this.drop(entry);
    for (const [number, { name, bytes }] of known) {
      if (!this.entries.some((entry) => entry.number === number) && !this.entries.some(({ request, number: own, fault }) => request && !own && !fault)) {
        this.make({ path: name, name: name.split("/").at(-1), size: bytes, loaded: bytes, number });
      }
    }
    for (const entry of this.entries) {
      entry.seen ||= known.has(entry.number);
      entry.items = (state?.items ?? []).filter(({ file }) => file === entry.number && entry.number);
      this.refresh(entry, state);
    }
  }

  count() {
    return this.entries.filter(({ fault }) => !fault).length;
  }

  bytes() {
    return this.entries.reduce((sum, { size, fault }) => sum + (fault ? 0 : size), 0);
  }

  /** How much of all files is uploaded, 0 to 1. */
  share() {
    const loaded = this.entries.reduce((sum, { loaded: part, fault }) => sum + (fault ? 0 : part), 0);
    return Math.min(1, loaded / Math.max(1, this.bytes()));
  }

  row(entry) {
    const row = document.createElement("li");
    row.innerHTML = '<div class="thumb"><i data-icon="film" aria-hidden="true"></i></div><div class="facts"><strong></strong><small></small><div class="meter" hidden><span></span></div></div><div class="results"></div><button type="button" class="remove">×</button>';
    row.querySelector(".remove").onclick = () => this.on.remove(entry);
    return row;
  }

  refresh(entry, state) {
    const { row, items } = entry;
    const part = (name) => row.querySelector(name);
    part("strong").textContent = part("strong").title = entry.name;
    part(".remove").ariaLabel = part(".remove").title = `Remove ${entry.name}`;
    part(".remove").disabled = Boolean(entry.number) && ["running", "waiting"].includes(state?.state);
    const bad = items.find((item) => item.state === "failed") ?? items.find((item) => item.state === "damaged");
    row.dataset.state = entry.fault ? "failed" : (bad?.state ?? "good");
    part("small").textContent = entry.fault ?? (bad ? `${bad.style}: ${bad.message}` : line(entry));
    const uploading = entry.file && !entry.number && !entry.fault;
    part(".meter").hidden = !uploading;
    part(".meter span").style.setProperty("--share", entry.size ? entry.loaded / entry.size : 0);
    this.tiles(entry, part(".results"));
  }

  tiles(entry, place) {
    const before = new Map([...place.children].map((tile) => [tile.dataset.item, tile]));
    const tiles = entry.items.map((item) => {
      const tile = before.get(String(item.item)) ?? this.tile(entry, item);
      const whole = item.state === "done" || item.state === "damaged";
      tile.disabled = !whole;
      tile.dataset.state = item.state;
      tile.onclick = () => this.on.show(entry, item);
      tile.title = whole ? `Look at ${item.name}` : `${item.style}: ${item.message || item.state}`;
      tile.ariaLabel = `${entry.name} in ${item.style}: ${item.state}`;
      tile.style.setProperty("--share", item.state === "running" && item.total ? item.frames / item.total : 0);
      if (whole && !tile.querySelector("img")) {
        const image = Object.assign(new Image(), { alt: "", draggable: false });
        image.src = `/api/batches/${sessionStorage.getItem("videobrush-batch")}/thumbnails/${item.item}`;
        image.onerror = () => image.remove();
        tile.prepend(image);
      }
      return tile;
    });
    place.replaceChildren(...tiles);
  }

  tile(entry, item) {
    const tile = Object.assign(document.createElement("button"), { type: "button", className: "result" });
    tile.dataset.item = item.item;
    tile.append(Object.assign(document.createElement("span"), { textContent: item.style }));
    return tile;
  }
}

function line({ size, number, file, loaded, items }) {
  const running = items.find(({ state }) => state === "running");
  if (running) return `${running.style}: ${running.total ? `${running.frames} of ${running.total}` : running.frames} frames`;
  const shown = bytes(size);
  if (file && !number) return loaded ? `${shown}, ${Math.round((100 * loaded) / size)} % uploaded` : `${shown}, waiting`;
  return shown;
}

/** Draw a file's own image, small; what the browser cannot show keeps its sign. */
async function draw(entry) {
  const place = entry.row.querySelector(".thumb");
  if (entry.file.type.startsWith("video/")) {
    entry.url = URL.createObjectURL(entry.file);
    const video = Object.assign(document.createElement("video"), { src: entry.url, muted: true, preload: "metadata", playsInline: true, tabIndex: -1 });
    video.onloadeddata = () => place.replaceChildren(video);
    return;
  }
  const bitmap = await createImageBitmap(entry.file, { resizeWidth: THUMB_PX, resizeQuality: "medium" });
  const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  place.replaceChildren(canvas);
}
