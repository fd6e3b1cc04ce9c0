// Put into the studio's page before its own scripts: a camera that draws the number of each of its frames into
// it as black and white bars, and a reader of the numbers in what the page shows. `barcode.start(size, fps,
// image)` makes the camera; `barcode.read` has one [trip_ms, shown_ms] for every number that was read.

const BITS = 12;
const BARS = BITS + 3; // white, black, the number, its parity
const BAND = 8; // the bars are this part of the height
const CONTRAST = 40; // levels between white and black, below which nothing is read

const barcode = (globalThis.barcode = { drawn: new Map(), read: [], unread: 0, last: -1 });
const { drawImage } = CanvasRenderingContext2D.prototype;

barcode.start = async (width, height, fps, address) => {
  const image = Object.assign(new Image(), { src: address });
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = canvas.getContext("2d", { alpha: false });
  const stream = canvas.captureStream(0);
  let number = 0;
  setInterval(() => {
    number = (number + 1) % (1 << BITS);
    const shift = (4 * number) % width; // it moves, like a camera that turns
    drawImage.call(pen, image, shift, 0, width, height);
    drawImage.call(pen, image, shift - width, 0, width, height);
    const bits = [...Array(BITS).keys()].map((place) => (number >> place) & 1);
    const bars = [1, 0, ...bits, bits.reduce((one, other) => one ^ other)];
    bars.forEach((bit, place) => {
      pen.fillStyle = bit ? "#fff" : "#000";
      pen.fillRect(Math.round((place * width) / BARS), 0, Math.ceil(width / BARS), height / BAND);
    });
    barcode.drawn.set(number, performance.now());
    stream.getVideoTracks()[0].requestFrame();
  }, 1000 / fps);
  const settings = { frameRate: fps, deviceId: "barcode", width, height };
  stream.getVideoTracks()[0].getSettings = () => settings;
  return stream;
};

const strip = Object.assign(document.createElement("canvas"), { width: BARS, height: 1 });
const row = strip.getContext("2d", { willReadFrequently: true });
const look = (canvas) => {
  const shown = performance.now();
  const middle = canvas.height / BAND / 2;
  const width = canvas.width / BARS;
  for (let place = 0; place < BARS; place += 1) drawImage.call(row, canvas, (place + 0.5) * width, middle, 1, 1, place, 0, 1, 1);
  const pixels = row.getImageData(0, 0, BARS, 1).data;
  const levels = [...Array(BARS).keys()].map((place) => pixels[4 * place] + pixels[4 * place + 1] + pixels[4 * place + 2]);
  const [white, black, ...rest] = levels;
  const bits = rest.map((level) => Number(2 * level > white + black));
  const parity = bits.pop();
  if (white - black < 3 * CONTRAST || bits.reduce((one, other) => one ^ other) !== parity) {
    barcode.unread += 1;
    return;
  }
  const number = bits.reduce((sum, bit, place) => sum | (bit << place), 0);
  if (number === barcode.last || !barcode.drawn.has(number)) return; // the split was moved, say
  barcode.last = number;
  barcode.read.push([shown - barcode.drawn.get(number), shown]);
};

// The page draws its image with drawImage: what it shows is read when it has drawn.
CanvasRenderingContext2D.prototype.drawImage = function (...values) {
  drawImage.apply(this, values);
  if (this.canvas.id === "view") queueMicrotask(() => look(this.canvas));
};
