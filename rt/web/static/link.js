// The WebSocket to the server: frames with a 16-byte header, JSON texts, reconnecting by itself.
// Header, little endian: u32 sequence, u32 length of the picture before, f64 time of capture in ms.

const HEADER_BYTES = 16;
const FULL = 4003;
const BROKE_RULES = 1008;
const RETRY_MS = [300, 600, 1200, 2500, 5000];

export class Link {
  /** `on` has: text(message), picture({sequence, captured, before, after}), state(name, detail). */
  constructor(on) {
    this.on = on;
    this.failures = 0;
    this.connect();
  }

  get open() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.timer);
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onmessage = (event) => {
      if (typeof event.data === "string") {
        const message = JSON.parse(event.data);
        if (message.type === "welcome") this.failures = 0;
        this.on.text(message);
      } else {
        this.on.picture(unpack(event.data));
      }
    };
    socket.onclose = (event) => this.closed(event);
  }

  async closed({ code, reason }) {
    if (code === FULL) {
      this.on.state("full", reason);
      return;
    }
    if (code === BROKE_RULES) {
      this.on.state("refused", reason);
      return;
    }
    this.on.state("away");
    const delay = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    this.timer = setTimeout(async () => {
      const answer = await fetch("/api/styles", { cache: "no-store" }).catch(() => null);
      if (answer?.status === 401 || answer?.status === 403) this.on.state("signed-out");
      else this.connect();
    }, delay);
  }

  sendFrame(sequence, captured, jpeg) {
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    header.setUint32(0, sequence, true);
    header.setFloat64(8, captured, true);
    this.socket.send(jpeg ? new Blob([header.buffer, jpeg]) : header.buffer);
  }

  sendControls(controls) {
    if (this.open) this.socket.send(JSON.stringify({ type: "controls", ...controls }));
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
