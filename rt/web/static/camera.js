// The visitor's camera: opened, listed, captured.

const WANTED = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const LONGEST_PX = 1280;
const QUALITY = 0.85;
const REST_MS = 500; // a hidden page gets no frame callbacks
const INSECURE = {
  title: "No camera on this address",
  text: "Browsers allow the camera only on https:// and localhost. Open the page on the server itself, through an SSH tunnel (ssh -L), or behind an HTTPS proxy.",
};
const BUSY = ["The camera is in use", "Another program uses it, or it does not respond. Close that program, then try again."];
const FAULTS = {
  NotAllowedError: ["Camera access was denied", "Allow it with the icon beside the address or in the system settings, then try again."],
  SecurityError: ["Camera access is blocked", "A policy of this browser keeps pages from the camera."],
  NotFoundError: ["No camera was found", "Plug one in and the page continues."],
  NotReadableError: BUSY,
  AbortError: BUSY,
  OverconstrainedError: ["This camera is not available", "It may be unplugged. Choose another one, or try again."],
};

export class Camera {
  /** `onEnd` is called when the open camera disappears. */
  constructor(onEnd) {
    this.video = document.createElement("video");
    this.video.muted = true;
    this.video.playsInline = true;
    this.canvas = document.createElement("canvas");
    this.pen = this.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    this.onEnd = onEnd;
    this.ready = false;
    this.skipped = 0; // frames of the camera that were never taken
    this.presented = this.taken = 0;
  }

  /** Open a camera, by id or the default one; throws {title, text} on failure. */
  async open(deviceId) {
    this.close();
    if (!navigator.mediaDevices?.getUserMedia) throw INSECURE;
    const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" };
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { ...WANTED, ...which }, audio: false });
      this.video.srcObject = this.stream;
      await this.video.play();
    } catch (error) {
      this.close();
      const [title, text] = FAULTS[error.name] ?? ["The camera cannot be opened", `${error.name}: ${error.message}`];
      throw { title, text };
    }
    this.track = this.stream.getVideoTracks()[0];
    this.track.onended = () => {
      this.close();
      this.onEnd();
    };
    this.presented = this.taken = 0;
    this.ready = true;
    this.watch(this.stream);
  }

  close() {
    this.ready = false;
    if (this.track) this.track.onended = null;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = this.track = this.video.srcObject = null;
  }

  get fps() {
    return this.track?.getSettings().frameRate ?? 30;
  }

  get id() {
    return this.track?.getSettings().deviceId;
  }

  async list() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter((device) => device.kind === "videoinput");
  }

  /** Count the camera's frames while `stream` is open. */
  watch(stream) {
    const again = this.video.requestVideoFrameCallback
      ? (call) => this.video.requestVideoFrameCallback((_, { presentedFrames }) => call(presentedFrames))
      : (call) => requestAnimationFrame(() => call(this.presented + (this.video.currentTime !== this.time)));
    const count = (presented) => {
      if (this.stream !== stream) return;
      this.time = this.video.currentTime;
      if (presented > this.presented) {
        this.presented = presented;
        this.arrived?.();
      }
      again(count);
    };
    again(count);
  }

  /** Wait for a frame not captured yet; returns at once where there is one. */
  async next() {
    if (this.presented > this.taken) return;
    let timer;
    await new Promise((resolve) => {
      this.arrived = resolve;
      timer = setTimeout(resolve, REST_MS);
    });
    clearTimeout(timer);
    this.arrived = null;
  }

  /** Do not count frames as skipped that came while paused. */
  rest() {
    this.taken = this.presented;
  }

  /** Capture the current frame: {jpeg, bitmap, captured}; null before the first one. */
  async take() {
    const { videoWidth, videoHeight } = this.video;
    if (!videoWidth) return null;
    const scale = Math.min(1, LONGEST_PX / Math.max(videoWidth, videoHeight));
    const width = Math.round(videoWidth * scale);
    const height = Math.round(videoHeight * scale);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const captured = performance.now();
    this.pen.drawImage(this.video, 0, 0, width, height);
    if (this.taken) this.skipped += Math.max(0, this.presented - this.taken - 1);
    this.taken = this.presented;
    const [jpeg, bitmap] = await Promise.all([
      new Promise((resolve) => this.canvas.toBlob(resolve, "image/jpeg", QUALITY)),
      createImageBitmap(this.canvas),
    ]);
    return { jpeg, bitmap, captured };
  }
}
