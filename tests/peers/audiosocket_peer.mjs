// A switch whose framing is that of npm's asterisk-audiosocket: sends a call's frames, prints what comes back as JSON.
// node audiosocket_peer.mjs PACKAGE PORT UUID < PCM
import { readFileSync } from "node:fs";
import { connect } from "node:net";

const { FrameParser, FrameType, encodeAudio, encodeFrame } = await import(`${process.argv[2]}/dist/index.js`);
const pcm = readFileSync(0);
const socket = connect(Number(process.argv[3]), "127.0.0.1");
const parser = new FrameParser();
const heard = [];
socket.on("data", (data) => {
  parser.push(data);
  for (let frame = parser.next(); frame; frame = parser.next())
    heard.push({ type: frame.type, length: frame.payload.length, silent: frame.payload.every((byte) => byte === 0) });
});
socket.on("close", () => console.log(JSON.stringify(heard)));
socket.write(encodeFrame(FrameType.UUID, Buffer.from(process.argv[4].replaceAll("-", ""), "hex")));
let at = 0;
const timer = setInterval(() => {
  if (at < pcm.length) socket.write(encodeAudio(pcm.subarray(at, (at += 320))));
  else {
    clearInterval(timer);
    socket.end();
  }
}, 20);
