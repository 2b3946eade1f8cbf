// Sound in the page: played, dropped in, recorded.
import { html } from "./elements.mjs";

let context = null;

/** Play samples (−1 to 1) at a rate in Hz, in place of what is playing. Return a function that stops it. */
export function play(samples, rate, ended = () => {}) {
  context ??= new AudioContext();
  context.resume();
  const buffer = context.createBuffer(1, Math.max(1, samples.length), rate), source = context.createBufferSource();
  buffer.copyToChannel(Float32Array.from(samples), 0);
  source.buffer = buffer;
  source.connect(context.destination);
  source.onended = ended;
  source.start();
  return () => source.stop();
}

/** Return the mono samples of an audio file's bytes at a rate in Hz. */
export async function decoded(bytes, rate) {
  const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  const channels = Array.from({ length: sound.numberOfChannels }, (_, n) => sound.getChannelData(n));
  return channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
}

/** Start to record from the microphone; return a function that ends it and gives the file's bytes. */
export async function record() {
  const plain = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
  const recorder = new MediaRecorder(stream), pieces = [];
  recorder.ondataavailable = (event) => pieces.push(event.data);
  const stopped = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start();
  return async () => {
    recorder.stop();
    await stopped;
    stream.getTracks().forEach((track) => track.stop());
    return new Blob(pieces).arrayBuffer();
  };
}

/**
 * Return a row to drop an audio file into, choose one, or record one. take(samples) gets mono samples at the rate,
 * at most so many seconds; say(text) what there is to tell.
 */
export function soundSource(rate, seconds, take, say) {
  let stop = null, asking = false, over = false;
  const read = async (bytes) => {
    try {
      const samples = await decoded(bytes, rate);
      if (samples.length === 0) throw new Error("it has no samples");
      take(samples.slice(0, seconds * rate));
      say(samples.length > seconds * rate ? `the first ${seconds} of ${(samples.length / rate).toFixed(0)} s` : "");
    } catch (error) {
      say(`this cannot be read as sound: ${error.message}`);
    }
  };
  const file = html("input", { type: "file", accept: "audio/*", "aria-label": "sound file" });
  file.addEventListener("change", async () => { if (file.files[0]) await read(await file.files[0].arrayBuffer()); });
  const button = html("button", { type: "button" }, "record");
  button.addEventListener("click", async () => {
    if (asking) return; // a second recorder could never be stopped
    if (stop) {
      const end = stop;
      stop = null;
      button.textContent = "record";
      await read(await end());
      return;
    }
    asking = true;
    try {
      stop = await record();
      if (over) await stop(); // the page was left before the microphone was there
      button.textContent = "stop recording";
      say("recording");
    } catch (error) {
      say(`no microphone: ${error.message}`);
    } finally {
      asking = false;
    }
  });
  const element = html("div", { class: "row" }, button, html("label", {}, "or a file, also dropped here:", file));
  return {
    element,
    /** Let files be dropped on another element. */
    dropOn(area) {
      area.addEventListener("dragover", (event) => event.preventDefault());
      area.addEventListener("drop", async (event) => {
        event.preventDefault();
        if (event.dataTransfer.files[0]) await read(await event.dataTransfer.files[0].arrayBuffer());
      });
    },
    end() { over = true; if (stop) stop(); },
  };
}
