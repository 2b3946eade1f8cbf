// The page: a button to talk, a sound file in its place, words, a picture, and what there is to tell.
import { listen, prepareMicrophone } from "./microphone.mjs";
import { Picture } from "./picture.mjs";
import { loadRecognizer } from "./recognizer.mjs";
import { Resampler } from "./resample.mjs";
import { joined, peak } from "./samples.mjs";
import { readSound, writeWav } from "./soundfile.mjs";

const SILENCE = 1e-4; // a peak below this, −80 dB, is no sound
const SHORTEST = 0.02; // seconds that hold no word
const LONGEST = 60; // seconds after which the microphone is closed
const HOLD = 400; // ms: a shorter press starts, and the next one ends; a longer one ends when it is released
const PIECE = 0.1; // seconds of a file at once

const part = (name) => document.getElementById(name);
const say = (text) => { part("message").textContent = text; };

/** One utterance from its first sample to its last word. Pieces wait for one another in a queue. */
class Utterance {
  constructor({ recognizer, picture }, rate) {
    Object.assign(this, { picture, rate, heard: [], seconds: 0, computing: 0, queue: Promise.resolve() });
    this.resampler = new Resampler(rate, recognizer.about.sample_rate);
    this.speech = recognizer.utterance();
    picture.clear();
    write("");
  }

  /** Take samples at `rate`. */
  add(samples) {
    this.heard.push(samples);
    this.seconds += samples.length / this.rate;
    this.queue = this.queue.then(() => this.compute(this.resampler.feed(samples)));
    return this.queue;
  }

  async compute(samples) {
    const found = await this.timed(() => this.speech.feed(samples));
    if (found) write(found.text);
    await this.picture.add(samples, found?.tokens);
  }

  /** Return the hypothesis of all that was added. */
  async finish() {
    this.queue = this.queue.then(() => this.compute(this.resampler.finish()));
    await this.queue;
    const found = await this.timed(() => this.speech.finish());
    this.picture.end(found.tokens);
    return found;
  }

  async timed(work) {
    const start = performance.now(), result = await work();
    this.computing += performance.now() - start;
    return result;
  }
}

function write(text) {
  if (part("words").textContent !== text) part("words").textContent = text;
}

const MUTED = "Only silence came: is the microphone muted, or another one chosen in the browser?";

/** End an utterance: its words, how fast they came, and its sound to keep. `silence` is what to say of silence. */
async function conclude(utterance, silence = MUTED) {
  const samples = joined(...utterance.heard), loudest = peak(samples);
  const found = await utterance.finish();
  write(found.text);
  const factor = (utterance.computing / 1000 / Math.max(utterance.seconds, 1e-3)).toFixed(3);
  part("speed").textContent = `${utterance.seconds.toFixed(1)} s of sound at ${utterance.rate} Hz, `
    + `computed in ${utterance.computing.toFixed(0)} ms: real-time factor ${factor}`;
  URL.revokeObjectURL(part("keep").href);
  part("keep").href = URL.createObjectURL(writeWav(samples, utterance.rate));
  part("keep").hidden = false;
  if (utterance.seconds < SHORTEST) say("Too short: hold the button, or press it again when you have spoken.");
  else if (loudest < SILENCE) say(silence);
  else say(found.tokens.length === 0 ? "Nothing was recognized." : "");
  window.page.last = { ...found, rate: utterance.rate, seconds: utterance.seconds, computing: utterance.computing };
  window.page.utterances += 1;
}

/** Make the button talk: press and release, or hold while speaking. */
function talkButton(model) {
  const button = part("talk");
  let state = "idle", microphone = null, utterance = null, pressed = 0, ending = false;
  const show = (next) => {
    state = next;
    button.setAttribute("aria-pressed", next !== "idle");
    button.textContent = next === "listening" ? "Stop" : "Talk";
    part("file").disabled = next !== "idle";
  };
  const start = async () => {
    show("opening");
    ending = false;
    microphone = null;
    const waiting = []; // pieces that come before the rate is known
    try {
      microphone = await listen((samples) => {
        if (!utterance) { waiting.push(samples); return; }
        utterance.add(samples).catch((error) => say(error.message));
        if (utterance.seconds > LONGEST) end(`Stopped after ${LONGEST} s.`);
      }, () => end("The microphone was disconnected."));
      utterance = new Utterance(model, microphone.rate);
      waiting.forEach((samples) => utterance.add(samples));
      say(model.recognizer.about.stream ? "Listening." : "Listening: the words come when you stop.");
      show("listening");
    } catch (error) {
      await microphone?.stop().catch(() => {});
      utterance = null;
      say(error.message);
      show("idle");
    }
    if (ending) stop(); // asked for while the microphone was being opened
  };
  const stop = async (reason) => {
    if (state !== "listening") return;
    show("closing");
    try {
      await microphone.stop();
      await conclude(utterance);
      if (reason) say(reason);
    } catch (error) {
      say(error.message);
    }
    utterance = null;
    show("idle");
  };
  const end = (reason) => { if (state === "opening") ending = true; else stop(reason); };
  const press = () => (state === "idle" ? start() : end());
  button.addEventListener("click", (event) => { if (event.detail === 0) press(); }); // the keyboard's
  button.addEventListener("keydown", (event) => { if (event.repeat && event.key === "Enter") event.preventDefault(); });
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    pressed = performance.now();
    press();
  });
  const release = () => { if (state !== "idle" && performance.now() - pressed > HOLD) end(); };
  button.addEventListener("pointerup", release);
  button.addEventListener("pointercancel", release);
  button.disabled = false;
}

/** Make a file, chosen or dropped, be heard like a microphone. */
function fileInput(model) {
  const read = async (file) => {
    part("talk").disabled = part("file").disabled = true;
    try {
      const { samples, rate } = await readSound(await file.arrayBuffer()), utterance = new Utterance(model, rate);
      say(`Listening to ${file.name}.`);
      const piece = Math.ceil(PIECE * rate);
      for (let at = 0; at < samples.length; at += piece) {
        await utterance.add(samples.subarray(at, at + piece));
        await new Promise((next) => { setTimeout(next); }); // the browser draws
      }
      await conclude(utterance, `${file.name} has only silence.`);
    } catch (error) {
      say(`${file.name} cannot be read as sound: ${error.message}`);
    }
    part("talk").disabled = part("file").disabled = false;
  };
  part("file").addEventListener("click", () => { part("file").value = ""; }); // the same file again is a change
  part("file").addEventListener("change", () => { if (part("file").files[0]) read(part("file").files[0]); });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0] && !part("file").disabled) read(event.dataTransfer.files[0]);
  });
  part("file").disabled = false;
}

/** Say how much was loaded, and how long that took. */
function showLoad(about) {
  const entries = performance.getEntriesByType("resource").filter((entry) => entry.startTime < performance.now());
  const megabytes = entries.reduce((sum, entry) => sum + entry.decodedBodySize, 0) / 1e6;
  const seconds = performance.now() / 1000;
  part("load").textContent = `${megabytes.toFixed(1)} MB loaded in ${seconds.toFixed(1)} s; nothing more is fetched`;
  window.page.load = { megabytes, seconds };
  part("name").textContent = about.name;
  document.title = `${about.name}: talk to it`;
  part("notes").replaceChildren(...about.notes.map((note) => {
    const line = document.createElement("li");
    line.textContent = note;
    return line;
  }));
}

window.page = { utterances: 0, last: null, load: null };
try {
  const [recognizer] = await Promise.all([loadRecognizer(), prepareMicrophone()]);
  const model = { recognizer, picture: new Picture(part("picture"), recognizer.about, recognizer.features) };
  showLoad(recognizer.about);
  talkButton(model);
  fileInput(model);
  say("Ready.");
} catch (error) {
  say(`The page cannot start: ${error.message}`);
}
