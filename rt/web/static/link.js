// The WebSocket to the server: frames with a 16-byte header, JSON texts; connects again by itself.
// Header, little endian: u32 sequence, u32 length of the picture before, f64 time of capture in ms.

const HEADER_BYTES = 16;
const FULL = 4003;
const BROKE_RULES = 1008;
const RETRY_MS = [300, 600, 1200, 2500, 5000];
const FULL_RETRY_MS = 10_000;
const SILENT_MS = 6000; // the server says something every second
const CONTROLS_MS = 50; // a slider that is dragged gives a hundred events a second; the server takes 120 messages

export class Link {
  /** `on` has: text(message), picture({sequence, captured, before, after}), state(name, detail). */
  constructor(on) {
    this.on = on;
    this.failures = 0;
    this.wishes = null;
    this.connect();
  }

  get open() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.retry);
    this.drop();
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      this.hear();
      if (typeof data !== "string") return this.on.picture(unpack(data));
      const message = JSON.parse(data);
      if (message.type === "welcome") this.failures = 0;
      this.on.text(message);
    };
    socket.onclose = (event) => this.lose(event);
    this.socket = socket;
    this.hear();
  }

  /** Frames, and an answer that has not come: a server that is cut off says nothing at all. */
  hear() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lose({ code: 0 }), SILENT_MS);
  }

  drop() {
    clearTimeout(this.silence);
    if (!this.socket) return;
    this.socket.onclose = this.socket.onmessage = null;
    this.socket.close();
    this.socket = null;
  }

  lose({ code, reason }) {
    this.drop();
    if (code === BROKE_RULES) return this.on.state("refused", reason);
    if (code === FULL) {
      this.on.state("full", reason);
      this.retry = setTimeout(() => this.connect(), FULL_RETRY_MS);
      return;
    }
    this.on.state("away", this.failures);
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    this.retry = setTimeout(() => this.ask(), wait);
  }

  /** Connect where the server knows this page still; a handshake alone does not say why it is refused. */
  async ask() {
    const answer = await fetch("/api/styles", { cache: "no-store" }).catch(() => null);
    if (answer?.status === 401 || answer?.status === 403) this.on.state("signed-out");
    else this.connect();
  }

  /** Send a frame; without a JPEG it asks for the next picture of the server's own source. */
  sendFrame(sequence, captured, jpeg) {
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    header.setUint32(0, sequence, true);
    header.setFloat64(8, captured, true);
    this.socket.send(jpeg ? new Blob([header.buffer, jpeg]) : header.buffer);
  }

  /** Send what is wished for; wishes that come quickly go together. */
  sendControls(wish) {
    const first = this.wishes === null;
    this.wishes = { ...this.wishes, ...wish };
    if (first) {
      setTimeout(() => {
        if (this.open) this.socket.send(JSON.stringify({ type: "controls", ...this.wishes }));
        this.wishes = null;
      }, CONTROLS_MS);
    }
  }
}

function unpack(message) {
  const header = new DataView(message, 0, HEADER_BYTES);
  const beforeBytes = header.getUint32(4, true);
  const jpeg = (from, to) => new Blob([new Uint8Array(message, from, to - from)], { type: "image/jpeg" });
  const middle = HEADER_BYTES + beforeBytes;
  return {
    sequence: header.getUint32(0, true),
    captured: header.getFloat64(8, true),
    before: beforeBytes ? jpeg(HEADER_BYTES, middle) : null,
    after: jpeg(middle, message.byteLength),
  };
}
