// Saves what is shown: snapshots and recordings.

const KINDS = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];
const BITS_PER_S = 8e6;
const FPS = 30;
const PART_MS = 1000;
const KEPT_MS = 30_000; // the download has started long before

/** Download the canvas as PNG; returns the name of the file. */
export async function snapshot(canvas, style) {
  const png = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return download(png, style, "png");
}

/** Records a canvas; `onChange(on)` is called at begin and end, `onSaved(name)` when the file is whole. */
export class Recorder {
  constructor(canvas, onChange, onSaved) {
    Object.assign(this, { canvas, onChange, onSaved });
  }

  get on() {
    return this.recorder?.state === "recording";
  }

  /** Begin; returns false where this browser cannot record. */
  begin(style) {
    const kind = KINDS.find((mimeType) => globalThis.MediaRecorder?.isTypeSupported(mimeType));
    if (!kind || !this.canvas.captureStream) return false;
    const stream = this.canvas.captureStream(FPS);
    const recorder = new MediaRecorder(stream, { mimeType: kind, videoBitsPerSecond: BITS_PER_S });
    const parts = [];
    recorder.ondataavailable = ({ data }) => data.size && parts.push(data);
    recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      this.onChange(false);
      this.onSaved(download(new Blob(parts, { type: kind }), style, kind.includes("webm") ? "webm" : "mp4"));
    };
    recorder.start(PART_MS);
    this.recorder = recorder;
    this.onChange(true);
    return true;
  }

  end() {
    if (this.on) this.recorder.stop();
  }
}

function download(blob, style, suffix) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `videobrush-${style}-${stamp(new Date())}.${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
  return link.download;
}

function stamp(now) {
  const two = (number) => String(number).padStart(2, "0");
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join("");
  return `${day}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
}
