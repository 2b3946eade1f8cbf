// The microphone, at its own sample rate and as it is: nothing in the browser resamples or cleans the sound.

// what a browser does to sound for calls takes away what a recognizer was trained to hear
const PLAIN = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };

const REFUSALS = {
  NotAllowedError: "The browser may not use the microphone: allow it for this page in the address bar, then press Talk again.",
  NotFoundError: "There is no microphone: connect one, then press Talk again; or choose a sound file.",
  NotReadableError: "The microphone cannot be opened: another program may be using it. Close that, then press Talk again.",
};

let worklet = null; // the address of capture.mjs in the page's own memory

/** Fetch all that the microphone will need, so that the page can go offline. */
export async function prepareMicrophone() {
  const answer = await fetch(new URL("capture.mjs", import.meta.url), { cache: "no-cache" });
  if (!answer.ok) throw new Error(`capture.mjs is missing (${answer.status}): export the page again`);
  const script = await answer.text();
  worklet = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
}

/**
 * Listen: hear(samples) gets each piece of mono samples, in [−1, 1]. Return {rate, stop()}, `rate` in Hz; after
 * `await stop()` no piece comes anymore. lost() says that the microphone was taken away. An error's message is a line for the page.
 */
export async function listen(hear, lost) {
  if (!navigator.mediaDevices) {
    throw new Error("The browser gives no microphone to this address: open the page as http://localhost or over https.");
  }
  const stream = await navigator.mediaDevices.getUserMedia({ audio: PLAIN }).catch((error) => {
    throw new Error(REFUSALS[error.name] ?? `The microphone cannot be used: ${error.message}`);
  });
  const end = () => stream.getTracks().forEach((track) => track.stop());
  const [track] = stream.getAudioTracks();
  track.onended = lost;
  let context = null;
  try {
    context = contextAt(track.getSettings().sampleRate);
    await context.audioWorklet.addModule(worklet);
    const node = new AudioWorkletNode(context, "capture", { channelCount: 1, channelCountMode: "explicit" });
    let finished;
    const last = new Promise((resolve) => { finished = resolve; });
    node.port.onmessage = ({ data }) => (data === null ? finished() : hear(data));
    // it plays nothing, but what leads nowhere is not run
    context.createMediaStreamSource(stream).connect(node).connect(context.destination);
    await context.resume();
    return {
      rate: context.sampleRate,
      async stop() {
        node.port.postMessage("stop");
        await last;
        end();
        await context.close();
      },
    };
  } catch (error) {
    end();
    await context?.close();
    throw new Error(`The microphone cannot be used: ${error.message}`);
  }
}

/** Return a context at the microphone's rate, if the browser tells it, or at the browser's own. */
function contextAt(rate) {
  try {
    return new AudioContext(rate ? { sampleRate: rate } : {});
  } catch {
    return new AudioContext();
  }
}
