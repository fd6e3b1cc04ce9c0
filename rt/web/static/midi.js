// MIDI: pads choose styles, knobs turn the sliders.

const FIRST_PAD = 36; // C2, where pads begin on most controllers
const SNAPSHOT = 24;
const RECORD = 25;
const KNOBS = { 1: "mix", 7: "strength", 74: "steady" }; // modulation wheel, volume, brightness
const NOTE_ON = 0x90;
const CONTROL = 0xb0;
const PROGRAM = 0xc0;

/** Listen to every MIDI input, also to those plugged in later; `actions` has style(index), knob(id, 0..1), snapshot, record. */
export async function listenToMidi(actions) {
  const access = await navigator.requestMIDIAccess();
  const listen = () => {
    for (const input of access.inputs.values()) input.onmidimessage = ({ data }) => obey(data, actions);
  };
  access.onstatechange = listen;
  listen();
  return access.inputs.size;
}

function obey([status, number, value], actions) {
  const kind = status & 0xf0; // any channel
  if (kind === CONTROL && KNOBS[number]) actions.knob(KNOBS[number], value / 127);
  else if (kind === PROGRAM) actions.style(number);
  else if (kind !== NOTE_ON || !value) return; // a note of velocity 0 ends
  else if (number >= FIRST_PAD) actions.style(number - FIRST_PAD);
  else if (number === SNAPSHOT) actions.snapshot();
  else if (number === RECORD) actions.record();
}
