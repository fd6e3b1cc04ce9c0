// Files on their way to the server, and out of dropped folders.

const ENTRIES = 5000; // of dropped folders are looked at

/** Send a file; `entry.loaded` grows, `progress()` is called. Returns what the server made of it. */
export function upload(path, entry, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    entry.request = request;
    request.open("POST", `/api/batches${path}?name=${encodeURIComponent(entry.path)}`);
    request.responseType = "json";
    request.upload.onprogress = ({ loaded }) => {
      entry.loaded = loaded;
      progress();
    };
    request.onload = () => (request.status === 201 ? resolve(request.response) : reject(new Error(request.response?.error ?? "the studio did not take it")));
    request.onerror = () => reject(new Error("the upload was interrupted; add the file again"));
    request.onabort = () => reject(new Error("not uploaded"));
    request.send(entry.file);
  });
}

/** Return the files of a drop as [{file, path}], those within folders too. */
export async function dropped(transfer) {
  const roots = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!roots.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  for (const root of roots) await walk(root, found);
  return found;
}

async function walk(entry, found) {
  if (found.length >= ENTRIES || entry.name.startsWith(".")) return;
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    // In a folder there are notes and thumbnails too: what is no video or image is passed over in silence.
    if (file && (!entry.fullPath.slice(1).includes("/") || /^(image|video)\//.test(file.type) || !file.type)) found.push({ file, path: entry.fullPath.slice(1) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([]))); // a hundred at a time
    if (!some.length) return;
    for (const one of some) await walk(one, found);
  }
}
