// The visitor's own camera: opened, listed, and taken pictures of.

const WANTED = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const LONGEST_PX = 1280;
const QUALITY = 0.85;
const FAULTS = {
  NotAllowedError: ["The camera was refused", "Allow this page to use the camera (the camera sign in the address bar), then try again."],
  NotFoundError: ["No camera was found", "Plug one in, then try again."],
  NotReadableError: ["The camera is in use", "Another program holds it: close that program, then try again."],
  OverconstrainedError: ["This camera cannot do that", "Choose another camera, then try again."],
};

export class Camera {
  constructor(onEnd) {
    this.video = document.createElement("video");
    this.video.muted = true;
    this.video.playsInline = true;
    this.canvas = document.createElement("canvas");
    this.pen = this.canvas.getContext("2d", { alpha: false });
    this.onEnd = onEnd;
  }

  /** Open a camera, by its id or whichever; throws {title, text} where that fails. */
  async open(deviceId) {
    this.close();
    if (!navigator.mediaDevices?.getUserMedia) {
      throw { title: "No camera on this address", text: "Browsers give their camera to https:// and to localhost alone. Open the page on the server itself, through an SSH tunnel to localhost, or behind https." };
    }
    const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" };
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { ...WANTED, ...which }, audio: false });
    } catch (error) {
      const [title, text] = FAULTS[error.name] ?? ["The camera cannot be opened", `${error.name}: ${error.message}`];
      throw { title, text };
    }
    this.track = this.stream.getVideoTracks()[0];
    this.track.onended = () => this.onEnd();
    this.video.srcObject = this.stream;
    await this.video.play();
  }

  close() {
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

  /** Wait for a picture that was not taken yet. */
  next() {
    return new Promise((resolve) => {
      if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(() => resolve());
      else requestAnimationFrame(() => resolve());
      setTimeout(resolve, 500); // a hidden page is called back for no frame
    });
  }

  /** Take the picture that is there: {jpeg, picture, captured}; null before the first one. */
  async take() {
    const { videoWidth, videoHeight } = this.video;
    if (!videoWidth) return null;
    const scale = Math.min(1, LONGEST_PX / Math.max(videoWidth, videoHeight));
    const width = Math.round(videoWidth * scale);
    const height = Math.round(videoHeight * scale);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.pen.drawImage(this.video, 0, 0, width, height);
    const captured = performance.now();
    const [jpeg, picture] = await Promise.all([
      new Promise((resolve) => this.canvas.toBlob(resolve, "image/jpeg", QUALITY)),
      createImageBitmap(this.canvas),
    ]);
    return { jpeg, picture, captured };
  }
}
