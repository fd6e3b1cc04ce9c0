// The WebSocket connection: frames with a 16-byte header, JSON texts; reconnects by itself.
// Header, little endian: u32 sequence, u32 length of the original's JPEG, f64 capture time in ms.

const HEADER_BYTES = 16;
const WS_STUDIO_FULL = 4003;
const WS_POLICY_VIOLATION = 1008;
const RETRY_MS = [300, 600, 1200, 2500, 5000];
const FULL_RETRY_MS = 10_000;
const SILENT_MS = 6000; // the server sends its status every second
const CONTROLS_MS = 50; // a dragged slider fires a hundred events a second; the server accepts 120 messages

export class Link {
  /** `on` has: text(message), frame({sequence, captured, before, after}), state(name, detail). */
  constructor(on) {
    this.on = on;
    this.failures = 0;
    this.pending = null;
    this.connect();
  }

  get open() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.retry);
    this.close();
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      this.expectMessage();
      if (typeof data !== "string") return this.on.frame(unpack(data));
      const message = JSON.parse(data);
      if (message.type === "welcome") this.failures = 0;
      this.on.text(message);
    };
    socket.onclose = (event) => this.disconnected(event);
    this.socket = socket;
    this.expectMessage();
  }

  /** Restart the timeout: a connection that is cut off reports nothing. */
  expectMessage() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.disconnected({ code: 0 }), SILENT_MS);
  }

  close() {
    clearTimeout(this.silence);
    if (!this.socket) return;
    this.socket.onclose = this.socket.onmessage = null;
    this.socket.close();
    this.socket = null;
  }

  disconnected({ code, reason }) {
    this.close();
    if (code === WS_POLICY_VIOLATION) return this.on.state("refused", reason);
    if (code === WS_STUDIO_FULL) {
      this.on.state("full", reason);
      this.retry = setTimeout(() => this.connect(), FULL_RETRY_MS);
      return;
    }
    this.on.state("away", this.failures);
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    this.retry = setTimeout(() => this.reconnect(), wait);
  }

  /** Reconnect if the page is still signed in; a rejected handshake alone does not tell why. */
  async reconnect() {
    const answer = await fetch("/api/styles", { cache: "no-store" }).catch(() => null);
    if (answer?.status === 401 || answer?.status === 403) this.on.state("signed-out");
    else this.connect();
  }

  /** Send a frame; without a JPEG, request the next one of the server's own source. */
  sendFrame(sequence, captured, jpeg) {
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    header.setUint32(0, sequence, true);
    header.setFloat64(8, captured, true);
    this.socket.send(jpeg ? new Blob([header.buffer, jpeg]) : header.buffer);
  }

  /** Send changed controls; changes in quick succession are merged. */
  sendControls(update) {
    const first = this.pending === null;
    this.pending = { ...this.pending, ...update };
    if (first) {
      setTimeout(() => {
        if (this.open) this.socket.send(JSON.stringify({ type: "controls", ...this.pending }));
        this.pending = null;
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
