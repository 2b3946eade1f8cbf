// Runs beside the page, on the sound's own thread: sends what the microphone hears, in pieces.

const PIECE = 2048;

registerProcessor("capture", class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(PIECE);
    this.filled = 0;
    this.ended = false;
    this.port.onmessage = () => { // the page wants the rest, and then nothing
      this.send();
      this.ended = true;
      this.port.postMessage(null);
    };
  }

  send() {
    if (this.filled > 0) this.port.postMessage(this.piece.slice(0, this.filled));
    this.filled = 0;
  }

  process([channels]) {
    const heard = channels[0] ?? [];
    for (let n = 0; n < heard.length && !this.ended; n++) {
      this.piece[this.filled++] = heard[n];
      if (this.filled === PIECE) this.send();
    }
    return !this.ended;
  }
});
