// The view: the translated image of the first page, for OBS and other programs that show a page.

const RETRY_MS = 1000;
const SILENT_MS = 6000; // the server sends its status every second
const canvas = document.getElementById("view");
const pen = canvas.getContext("2d");
let socket, silence;

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/view`);
  const own = socket;
  socket.binaryType = "blob";
  socket.onmessage = async ({ data }) => {
    expectMessage();
    if (typeof data === "string") {
      if (!JSON.parse(data).visitors) clear();
      return;
    }
    const bitmap = await createImageBitmap(data).catch(() => null);
    if (bitmap && own === socket) show(bitmap);
    bitmap?.close();
  };
  socket.onclose = away;
  expectMessage();
}

function show(bitmap) {
  const { width, height } = bitmap;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  pen.drawImage(bitmap, 0, 0);
}

function clear() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
}

/** A connection that is cut off reports nothing. */
function expectMessage() {
  clearTimeout(silence);
  silence = setTimeout(away, SILENT_MS);
}

function away() {
  clearTimeout(silence);
  socket.onclose = socket.onmessage = null;
  socket.close();
  clear();
  setTimeout(connect, RETRY_MS);
}

connect();
